// What the engine needs of the outside world. Adapters implement these; the engine knows nothing
// else.
import type { EffectFailure, RecordedEvent, StoredEvent } from '../machines/kernel/envelope.ts';
import type { Checkpoint } from '../machines/checkpoint.ts';
import type { DevicePlan } from '../machines/device/events.ts';
import type { FoundContent } from '../machines/snapshot/block-content.ts';
import type { RemoteLayer } from '../machines/snapshot/events.ts';

/** A range of the log, both ends included. */
export interface SeqRange {
  readonly fromSeq: number;
  readonly toSeq: number;
}

/** `event 7`, `events 7 to 9`. */
export function rangeText({ fromSeq, toSeq }: SeqRange): string {
  return fromSeq === toSeq ? `event ${fromSeq}` : `events ${fromSeq} to ${toSeq}`;
}

/**
 * Damage found in the log: which part, what is wrong, which streams are touched (as far as known).
 */
export interface Damage extends SeqRange {
  readonly reason: string;
  readonly streams: readonly string[];
  /** Whether a repair has named it as lost: nothing more can be done about it, nothing need be. */
  readonly isLost?: true;
}

export interface ReadOptions {
  /** First position, inclusive; default: the first available. */
  readonly fromSeq?: number;
  /** Last position, inclusive; default: the last durable one when the read begins. */
  readonly toSeq?: number;
  /** Only this stream (read by its index, not by scanning). */
  readonly stream?: string;
}

/** How a check of everything gets along with other work: hardly felt, or as fast as it goes. */
export type ScrubPace = 'gentle' | 'full';

/**
 * The durable log. One writer. Every value is checked on every read: a read meets damage by
 * throwing LogDamaged, never by returning a wrong or shortened history.
 */
export interface EventStore {
  /** The last durable position; 0 for an empty log. */
  readonly lastSeq: number;
  /** The first position that was not compacted away; 1 before any compaction. */
  readonly firstSeq: number;
  /** What repairs could not save, in order. Reads of it throw LogDamaged with `isLost`. */
  readonly lost: readonly SeqRange[];
  /**
   * The first position from which history folds without a gap: `firstSeq`, or what follows the
   * checkpoint behind the newest loss.
   */
  readonly foldableFromSeq: number;
  /**
   * Appends numbered events as one synced batch; resolved means durable. A rejection is final
   * (LogFailure): the caller must stop the process, since what reached the disk is in doubt.
   */
  append(events: readonly RecordedEvent[]): Promise<void>;
  /** Yields events in order in arrays of at most a few hundred. Throws LogDamaged or OutOfRange. */
  read(options?: ReadOptions): AsyncIterable<readonly StoredEvent[]>;
  /**
   * Stores a checkpoint and drops older ones but the one at the horizon; also exports it beside the
   * log.
   */
  writeCheckpoint(checkpoint: Checkpoint): Promise<void>;
  /** The newest valid checkpoint at or below `atSeq`. */
  readCheckpoint(atSeq?: number): Promise<Checkpoint | undefined>;
  /**
   * Deletes events at or below `checkpoint.globalSeq`, keeping those of `liveStreams`, after
   * storing
   * `checkpoint` as the state at the horizon. Returns how many were deleted.
   */
  compact(checkpoint: Checkpoint, liveStreams: ReadonlySet<string>): Promise<number>;
  /** Damage of history that is known of; the state does not rest on it. */
  readonly historyDamage: readonly Damage[];
  /** Checks every stored value and chain; yields what it found when it is through. */
  scrub(signal: AbortSignal, pace?: ScrubPace): AsyncIterable<Damage>;
  close(): Promise<void>;
}

/**
 * What opening the log found. With damage at or after the newest checkpoint the store must not be
 * written.
 */
export interface OpenedLog {
  readonly store: EventStore;
  readonly damage: readonly Damage[];
}

/** Thrown by reads that meet damage. */
export class LogDamaged extends Error {
  override readonly name = 'LogDamaged';
  readonly damage: Damage;
  constructor(damage: Damage) {
    const { fromSeq, toSeq, reason, isLost } = damage;
    const subject = `${rangeText(damage)} of the log ${fromSeq === toSeq ? 'is' : 'are'}`;
    super(
      isLost === true
        ? `${subject} lost (${reason}): read on from ${toSeq + 1}`
        : `${subject} damaged (${reason}): stop varve serve and run varve repair`,
    );
    this.damage = damage;
  }
}

/** Thrown by reads before the first available position. */
export class OutOfRange extends Error {
  override readonly name = 'OutOfRange';
  readonly firstSeq: number;
  constructor(firstSeq: number) {
    super(`the log begins at ${firstSeq}, older events were compacted away: ask from there on`);
    this.firstSeq = firstSeq;
  }
}

/** A failed append or sync: the log's end is in doubt and the process must stop. */
export class LogFailure extends Error {
  override readonly name = 'LogFailure';
}

/** Thrown by whatever would have to be recorded once the log is about to be closed. */
export class NodeStopping extends Error {
  override readonly name = 'NodeStopping';
  constructor() {
    super('varve serve is stopping: call again when it has started');
  }
}

/** The answer of the world to one effect. */
export type EffectResult<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly failure: EffectFailure };

/** What of a snapshot is measured. */
export type UsageParts = 'files' | 'filesAndBlocks';

/** Who waits for a measurement. */
export type UsagePurpose = 'commit' | 'query';

export interface DiskUsage {
  readonly sizeBytes: number;
  readonly inodeCount: number;
}

/**
 * The snapshots' directories. Every method is convergent: run again, in any intermediate condition,
 * it ends in the same result; none throws for conditions of the world.
 */
export interface SnapshotDirectories {
  /** Absolute path of `<root>/snapshots`. */
  readonly path: string;
  /** Makes `<id>/fs` (and `<id>/work` for an active one), owned like the parent's `fs`. */
  create(request: {
    readonly snapshotId: number;
    readonly withWork: boolean;
    readonly parentId: number | null;
    /** How much may be written into it, in bytes; null for no limit. */
    readonly quotaBytes: number | null;
  }): Promise<EffectResult<void>>;
  /**
   * Measures `<id>/fs`, or that and `<id>/block`: 512-byte blocks per distinct inode, directories
   * included, but for what is mounted there. A commit never waits for queries, however many or slow
   * they are.
   */
  usage(
    snapshotId: number,
    purpose: UsagePurpose,
    parts: UsageParts,
  ): Promise<EffectResult<DiskUsage>>;
  /** Makes what lies under `<id>` durable (syncfs of the file system that holds it). */
  sync(snapshotId: number): Promise<EffectResult<void>>;
  /**
   * Deletes `<id>` and all below it, never crossing a mount (EBUSY). Absent is success. Of one
   * whose size is limited the limit goes, too.
   */
  remove(snapshotId: number, isLimited?: boolean): Promise<EffectResult<void>>;
  /** The ids of all directories found, and names that are no ids. */
  list(): Promise<{ readonly snapshotIds: readonly number[]; readonly foreign: readonly string[] }>;
}

/** Free space for the log. While space is low, commands that need room are refused. */
export interface SpaceGuard {
  readonly isLow: boolean;
  /** Looks again, and takes the reserve back when there is room. */
  refresh(): Promise<void>;
}

export interface Clock {
  /** Microseconds since the Unix epoch, never going backwards within a process. */
  nowUs(): number;
  /** Calls `callback` once after `delayMs`; returns the cancel function. */
  after(delayMs: number, callback: () => void): () => void;
}

export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * Marks a boundary where a crash is possible (`append:before`, `effect:remove:after`, …). The real
 * one does nothing; tests give one that records the passage or kills the process there.
 */
export type CrashPoint = (name: string) => void;

/** A device as it is attached. */
export interface AttachedDevice {
  /** `/dev/…` */
  readonly path: string;
  readonly sizeBytes: number;
  /** How it reaches the kernel: `fuse`, `ublk` or `tcmu`. */
  readonly transport: string;
}

/** What the machine shows of one device of ours. */
export interface DeviceSighting {
  readonly deviceId: number;
  /** The path at which the backing store has it attached; null if it has not. */
  readonly path: string | null;
  readonly isMounted: boolean;
  /** Why it could not be looked at: it may be there, be gone, or be another's. */
  readonly unseen?: EffectFailure;
}

/**
 * The block devices of snapshots: the backing store that attaches them, and what is done with them
 * in the kernel. Every method is convergent: run again, in any intermediate condition, it ends in
 * the same result; none throws for conditions of the world. Whatever can block has a deadline.
 */
export interface BlockDevices {
  /** Of one that is written: its layer is made first, if there is none. */
  attach(deviceId: number, plan: DevicePlan): Promise<EffectResult<AttachedDevice>>;
  /** Makes the file system that the plan asks for. */
  format(deviceId: number, path: string, plan: DevicePlan): Promise<EffectResult<void>>;
  mount(deviceId: number, path: string, plan: DevicePlan): Promise<EffectResult<void>>;
  /** Absent is success. */
  unmount(deviceId: number): Promise<EffectResult<void>>;
  /**
   * The same of one whose layer is to be finished, which has to hold all that was written. Fails if
   * the kernel could not write it; `gone`: the device is not there, so nobody knows.
   */
  unmountWritten(deviceId: number): Promise<EffectResult<'written' | 'gone'>>;
  /** Fails with EBUSY, and says by whom, while somebody uses it. Absent is success. */
  detach(deviceId: number): Promise<EffectResult<void>>;
  /**
   * Every device of ours that is attached or mounted; `recorded`: by what each is attached as far
   * as the history knows. A transport that has one of these and cannot be asked is not taken for
   * one that is not there, neither now nor until the next time. Asked before anything else.
   */
  observe(recorded: ReadonlyMap<number, string>): Promise<EffectResult<readonly DeviceSighting[]>>;
}

/** A mount that uses the directories of snapshots. */
export interface MountInUse {
  readonly mountPoint: string;
  readonly snapshotIds: readonly number[];
}

/** What a device has done since it was attached. */
export interface DeviceFigures {
  readonly deviceId: number;
  readonly readCount: number;
  readonly readBytes: number;
  readonly writeCount: number;
  readonly writtenBytes: number;
  /** Requests that were answered with an error. */
  readonly errorCount: number;
  /** How often a layer could not be read as it was written. */
  readonly damageCount: number;
  /** Whether the kernel reads it without a cache of its own between; null where it is not told. */
  readonly directIo: boolean | null;
}

/** What the backing store tells of itself, and of the devices that are ours. */
export interface BackingStoreFigures {
  readonly process: number;
  /** Null where it does not tell. */
  readonly version: string | null;
  /** How its devices reach the kernel. */
  readonly transport: string;
  /** All transports that it attaches or serves, the best first; null where it does not tell. */
  readonly transports: readonly string[] | null;
  /** What each of the others lacks, in words. */
  readonly lacking: Readonly<Record<string, readonly string[]>>;
  /** Whether its devices stay when it ends, for the next one; null where it does not tell. */
  readonly devicesOutlive: boolean | null;
  readonly devices: readonly DeviceFigures[];
}

/** The files of block layers. */
export interface BlockLayers {
  /**
   * Whether the files of an unpacked layer are one block layer; then it gets the configuration of
   * its device, on top of that of `parentId`, and what is on it is found out. Null: it is none.
   */
  examine(snapshotId: number, parentId: number | null): Promise<EffectResult<FoundContent | null>>;
  /**
   * Makes the writable layer of a snapshot, whose device is gone, a finished one on top of that of
   * `parentId`. What fails before the layer is finished leaves it as it was; what fails afterwards
   * is completed by the next call.
   */
  finish(snapshotId: number, parentId: number | null): Promise<EffectResult<void>>;
  /** Whether anything reads layers from registries. */
  readonly canReadRemote: boolean;
  /** Gives a layer in a registry the configuration of its device, and finds out what is on it. */
  describe(
    snapshotId: number,
    parentId: number | null,
    remote: RemoteLayer,
  ): Promise<EffectResult<FoundContent>>;
}
