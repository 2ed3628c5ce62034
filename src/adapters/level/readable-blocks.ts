// Whether every block of the database can be read. LevelDB stops writing for good when a merge
// meets one that cannot, so a merge must not be asked for before this is known.
import { turn } from './checkpoint-table.ts';
import type { Database } from './database.ts';

/** Keys fetched in one step, so that other work gets its turn. */
const stepKeysMax = 4096;

export async function areBlocksReadable(database: Database): Promise<boolean> {
  const keys = database.keys({ fillCache: false });
  try {
    while ((await keys.nextv(stepKeysMax)).length > 0) await turn();
    return true;
  } catch {
    // LevelDB found a block unreadable.
    return false;
  } finally {
    await keys.close();
  }
}
