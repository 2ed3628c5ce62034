// A checkpoint: the folded state of everything at one position of the log. Plain JSON; disposable,
// except the one at the compaction horizon, from which all later history folds.
import type { NodeState } from './node/state.ts';
import { awaitsParent } from './snapshot/role.ts';
import { kindOf, type SnapshotState } from './snapshot/state.ts';

/** Version of this shape. Stored. */
export const checkpointVersion = 2;

export interface Checkpoint {
  readonly checkpointVersion: number;
  readonly globalSeq: number;
  readonly node: NodeState;
  /** Every snapshot that is not yet removed, by ascending id. */
  readonly snapshots: readonly SnapshotState[];
}

/** A stored checkpoint of any known version in the newest shape; undefined if it is not known. */
export function upcastCheckpoint(stored: Checkpoint): Checkpoint | undefined {
  if (stored.checkpointVersion === checkpointVersion) return stored;
  return stored.checkpointVersion === 1
    ? { ...stored, checkpointVersion, snapshots: stored.snapshots.map(fromVersion1) }
    : undefined;
}

/** The same state in every shape that it has had: histories hold hashes of older ones. */
export function shapesOf(checkpoint: Checkpoint): readonly Checkpoint[] {
  const snapshots = checkpoint.snapshots.map(toVersion1);
  return [checkpoint, { ...checkpoint, checkpointVersion: 1, snapshots }];
}

// Version 1 had no `awaitsParent`: there the labels as they are now told.
function fromVersion1(state: SnapshotState): SnapshotState {
  const isWritten = kindOf(state) === 'active';
  const context = { ...state.context, awaitsParent: isWritten && awaitsParent(state.context) };
  return { ...state, context };
}

function toVersion1(state: SnapshotState): SnapshotState {
  const { awaitsParent: _, ...context } = state.context;
  return { ...state, context: context as SnapshotState['context'] };
}
