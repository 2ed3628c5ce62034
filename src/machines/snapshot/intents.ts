// What the world still owes a snapshot, from its state alone: the same answer on the normal path
// and after a crash. Every in-flight state has exactly one intent, every other state none.
import type { Operation, SnapshotState } from './state.ts';

/** An effect to carry out; its outcome comes back with the operation's id. */
export interface Intent {
  readonly kind: 'sealLayer' | 'finishBlockLayer' | 'deleteDirectory';
  readonly snapshotId: number;
  readonly operationId: number;
  readonly attemptCount: number;
  /**
   * Whether the effect changes nothing that an event would have to explain (sealing a directory
   * only measures and syncs it; a writable block layer becomes a finished one). Such an effect may
   * begin before its event is durable; its reply may not.
   */
  readonly changesNothing: boolean;
}

export function intentsOf(state: SnapshotState): readonly Intent[] {
  const { operation, snapshotId } = state.context;
  if (operation === null) return [];
  const attempt = { snapshotId, ...operationOf(operation) };
  const { lifecycle, backing } = state.value;
  switch (lifecycle) {
    case 'committing': {
      const isWritable = backing === 'writableBlock';
      const kind = isWritable ? 'finishBlockLayer' : 'sealLayer';
      return [{ kind, ...attempt, changesNothing: !isWritable }];
    }
    case 'removing':
      return [{ kind: 'deleteDirectory', ...attempt, changesNothing: false }];
    default:
      return [];
  }
}

const operationOf = ({ operationId, attemptCount }: Operation): Omit<Operation, 'commit'> => ({
  operationId,
  attemptCount,
});
