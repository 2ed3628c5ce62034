// The folded state of one snapshot: plain JSON, so that checkpoints, comparison and replay are
// exact.
import type { EffectFailure } from '../kernel/envelope.ts';
import type {
  BlockContent,
  Labels,
  MountMode,
  RemoteLayer,
  SnapshotBacking,
  SnapshotRole,
  WritableBlock,
} from './events.ts';

export type Lifecycle =
  | 'absent'
  | 'active'
  | 'viewing'
  | 'committing'
  | 'committed'
  | 'removeDeferred'
  | 'removing'
  | 'removed'
  | 'failed';

/** The state of a snapshot's machine: one state in each region. */
export interface SnapshotStateValue {
  readonly lifecycle: Lifecycle;
  readonly backing: 'unassigned' | SnapshotBacking;
}

/**
 * The operation in flight. `operationId` is the revision of the event that started this attempt.
 */
export interface Operation {
  readonly operationId: number;
  readonly attemptCount: number;
  /** Commit only: what the snapshot becomes. */
  readonly commit: {
    readonly name: string;
    readonly labels: Labels;
    readonly parent: string;
    readonly parentId: number | null;
  } | null;
}

export interface SnapshotContext {
  readonly snapshotId: number;
  readonly role: SnapshotRole;
  /** The key while active or a view, the name once committed. */
  readonly key: string;
  readonly parent: string;
  readonly parentId: number | null;
  /**
   * Whether it is an unpack that brings its parent at Commit: decided by the labels of Prepare,
   * which may change afterwards.
   */
  readonly awaitsParent: boolean;
  /** The device that it leases for as long as clients can use it; null if none. */
  readonly deviceId: number | null;
  /** What its mounts are. */
  readonly mode: MountMode;
  /** How its own device is made; null if it has none. */
  readonly writable: WritableBlock | null;
  /** Where its layer is read from instead of being unpacked; null if it is not. */
  readonly remote: RemoteLayer | null;
  /** How much may be written into its directory, in bytes; null for no limit. */
  readonly quotaBytes: number | null;
  /** What a block layer holds; null if it is none. */
  readonly block: BlockContent | null;
  readonly labels: Labels;
  readonly createdAtUs: number;
  readonly updatedAtUs: number;
  readonly sizeBytes: number;
  readonly inodeCount: number;
  readonly operation: Operation | null;
  readonly lastFailure: EffectFailure | null;
}

export interface SnapshotState {
  readonly value: SnapshotStateValue;
  readonly context: SnapshotContext;
  /** Revision and global position of the newest event folded in; 0 before the first. */
  readonly revision: number;
  readonly lastSeq: number;
}

/** Whether it is a finished layer whose device others read. */
export const isBlockLayer = ({ value }: SnapshotState): boolean =>
  value.backing === 'localBlock' || value.backing === 'remoteBlock';

/** Whether its writable block layer is being made a finished one: nobody may write it any more. */
export const isFinishing = ({ value }: SnapshotState): boolean =>
  value.backing === 'writableBlock' && value.lifecycle === 'committing';

/** The device that a snapshot has to lease as it is now; null if none. */
export function neededDeviceOf(state: SnapshotState): number | null {
  const isUsed = kindOf(state) !== undefined && !isFinishing(state);
  return isUsed ? state.context.deviceId : null;
}

/** containerd's kind of a snapshot that clients can see; undefined for one that they cannot. */
export function kindOf(state: SnapshotState): 'view' | 'active' | 'committed' | undefined {
  switch (state.value.lifecycle) {
    case 'active':
    case 'committing':
      return 'active';
    case 'viewing':
      return 'view';
    case 'committed':
      return 'committed';
    default:
      return undefined;
  }
}
