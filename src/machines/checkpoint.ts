// A checkpoint: the folded state of everything at one position of the log. Plain JSON; disposable,
// except the one at the compaction horizon, from which all later history folds.
import type { NodeState } from './node/state.ts';
import type { SnapshotState } from './snapshot/state.ts';

/** Version of this shape. Stored. */
export const checkpointVersion = 1;

export interface Checkpoint {
  readonly checkpointVersion: number;
  readonly globalSeq: number;
  readonly node: NodeState;
  /** Every snapshot that is not yet removed, by ascending id. */
  readonly snapshots: readonly SnapshotState[];
}
