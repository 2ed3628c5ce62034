// Where commands take a state from: the daemon.
import type { StateDocument } from '../history/state-document.ts';
import { withAdminClient } from './admin-client.ts';
import type { CommandContext } from './command-context.ts';

/** The state as it is now; `isAll`: with snapshots that clients no longer see. */
export async function currentState(
  { adminAddress }: CommandContext,
  isAll: boolean,
): Promise<StateDocument> {
  const state = await withAdminClient(adminAddress(), (client) =>
    client.document<StateDocument>('state', { atSeq: 0 }),
  );
  if (isAll) return state;
  return { ...state, snapshots: state.snapshots.filter((snapshot) => snapshot.kind !== null) };
}
