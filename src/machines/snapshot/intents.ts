// What the world still owes a snapshot, from its state alone: the same answer on the normal path and
// after a crash. Every in-flight state has exactly one intent, every other state none.
import type { SnapshotState } from './state.ts';

/** An effect to carry out; its outcome comes back with the operation's id. */
export type Intent =
  | {
      readonly kind: 'sealLayer';
      readonly snapshotId: number;
      readonly operationId: number;
      readonly attemptCount: number;
    }
  | {
      readonly kind: 'deleteDirectory';
      readonly snapshotId: number;
      readonly operationId: number;
      readonly attemptCount: number;
    };

export function intentsOf(state: SnapshotState): readonly Intent[] {
  const { operation, snapshotId } = state.context;
  if (operation === null) return [];
  const { operationId, attemptCount } = operation;
  switch (state.value.lifecycle) {
    case 'committing':
      return [{ kind: 'sealLayer', snapshotId, operationId, attemptCount }];
    case 'removing':
      return [{ kind: 'deleteDirectory', snapshotId, operationId, attemptCount }];
    default:
      return [];
  }
}
