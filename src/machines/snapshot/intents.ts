// What the world still owes a snapshot, from its state alone: the same answer on the normal path
// and after a crash. Every in-flight state has exactly one intent, every other state none.
import type { SnapshotState } from './state.ts';

/** An effect to carry out; its outcome comes back with the operation's id. */
export interface Intent {
  readonly kind: 'sealLayer' | 'deleteDirectory';
  readonly snapshotId: number;
  readonly operationId: number;
  readonly attemptCount: number;
  /**
   * Whether the effect changes nothing that an event would have to explain (sealing a directory
   * only measures and syncs it). Such an effect may begin before its event is durable; its reply
   * may not.
   */
  readonly changesNothing: boolean;
}

export function intentsOf(state: SnapshotState): readonly Intent[] {
  const { operation, snapshotId } = state.context;
  if (operation === null) return [];
  const { operationId, attemptCount } = operation;
  switch (state.value.lifecycle) {
    case 'committing':
      return [{ kind: 'sealLayer', snapshotId, operationId, attemptCount, changesNothing: true }];
    case 'removing':
      return [
        { kind: 'deleteDirectory', snapshotId, operationId, attemptCount, changesNothing: false },
      ];
    default:
      return [];
  }
}
