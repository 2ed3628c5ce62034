// The engine as the services see it: commands and queries of the Snapshots service, and the
// history. A refusal is a value (Result); only a broken invariant or a failed log throws.
import type { Observable } from 'rxjs';
import type { Cause } from '../machines/kernel/envelope.ts';
import type { Result } from '../machines/kernel/rejection.ts';
import type { Checkpoint } from '../machines/checkpoint.ts';
import type { LeasePurpose } from '../machines/device/events.ts';
import type { Labels } from '../machines/snapshot/events.ts';
import type { DiskUsage, EventStore } from './ports.ts';
import type { StartPlan } from './start-plan.ts';

/** Who asks, and how long the service waits: when the time passes the effect goes on regardless. */
export interface Call {
  readonly cause: Cause;
  readonly deadlineMs: number;
}

/** A mount as containerd gets it; the order of `options` matters. */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** containerd's Info. */
export interface SnapshotInfo {
  readonly name: string;
  readonly parent: string;
  readonly kind: 'view' | 'active' | 'committed';
  readonly createdAtUs: number;
  readonly updatedAtUs: number;
  readonly labels: Labels;
}

export interface PrepareRequest {
  readonly key: string;
  readonly parent: string;
  readonly labels: Labels;
}

export interface CommitRequest {
  readonly name: string;
  readonly key: string;
  readonly labels: Labels;
  /** The parent that an unpack without one brings at Commit (capability `rebase`); '' if none. */
  readonly parent: string;
}

export interface UpdateRequest {
  readonly name: string;
  readonly labels: Labels;
  /** Field mask paths: `labels`, `labels.<key>`; empty replaces all labels. */
  readonly paths: readonly string[];
}

/** A block layer whose device an operator has leased. */
export interface AttachedLayer {
  readonly deviceId: number;
  /** `/dev/…` */
  readonly path: string;
  readonly sizeBytes: number;
  readonly fileSystem: string;
  /** Where it is mounted. */
  readonly mountPoint: string;
  /** Whether an operator had leased it before. */
  readonly wasAttached: boolean;
}

/** What is left of a device when an operator's lease is given back. */
export interface DetachedLayer {
  readonly deviceId: number;
  /** Whether there was a lease to give back. */
  readonly wasAttached: boolean;
  readonly state: string;
  /** Who uses it still. */
  readonly leases: readonly {
    readonly snapshotId: number;
    readonly key: string;
    readonly purpose: LeasePurpose;
  }[];
}

export interface Engine {
  prepare(request: PrepareRequest, call: Call): Promise<Result<readonly Mount[]>>;
  view(request: PrepareRequest, call: Call): Promise<Result<readonly Mount[]>>;
  mounts(key: string, call: Call): Promise<Result<readonly Mount[]>>;
  commit(request: CommitRequest, call: Call): Promise<Result<void>>;
  remove(key: string, call: Call): Promise<Result<void>>;
  stat(key: string, call: Call): Promise<Result<SnapshotInfo>>;
  update(request: UpdateRequest, call: Call): Promise<Result<SnapshotInfo>>;
  /** All that match, as one consistent picture, in the order of their names. */
  list(filters: readonly string[], call: Call): Promise<Result<readonly SnapshotInfo[]>>;
  usage(key: string, call: Call): Promise<Result<DiskUsage>>;
  /** Frees everything that was removed; resolves when nothing is left (or the deadline passed). */
  cleanup(call: Call): Promise<Result<void>>;

  /** Leases the device of a block layer for an operator; resolves when it can be used. */
  attach(snapshot: string, call: Call): Promise<Result<AttachedLayer>>;
  /** Gives that lease back; resolves when a device that nobody else leases is gone. */
  detach(snapshot: string, call: Call): Promise<Result<DetachedLayer>>;

  /** The log, for Read, Watch, Export and Verify. Reads see durable events only. */
  readonly store: EventStore;
  /** The last durable position, and every later one as it becomes durable. */
  readonly durable: Observable<number>;
  /** What a start would do now; what is under way is no part of it. */
  startPlan(): Promise<StartPlan>;
  /** Resolves when what the start found has ended, or has failed once and is tried again. */
  recovered(): Promise<void>;
  /** The folded state as of now, at its position; also a checkpoint's content. */
  checkpoint(): Checkpoint;
  /** Stores a checkpoint now; answers its position. */
  storeCheckpoint(): Promise<number>;
  /** Drops history through `throughSeq`, never past unresolved work. */
  compact(throughSeq: number, cause: Cause): Promise<Result<CompactionResult>>;
  /**
   * Stops accepting, waits for running effects up to `deadlineMs`, records the end, closes the log.
   */
  stop(reason: string, deadlineMs: number): Promise<void>;
}

export interface CompactionResult {
  readonly horizonSeq: number;
  readonly removedEventCount: number;
}
