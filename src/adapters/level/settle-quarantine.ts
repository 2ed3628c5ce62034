// What becomes of the quarantine after an opening: it goes when the log is proven whole, and is
// kept as evidence when it is not. Tables that the opening discarded are looked into here: that
// takes time, and what they held lies before the checkpoint, so serving does not wait for it.
import type { Damage, Logger } from '../../engine/ports.ts';
import type { Database } from './database.ts';
import { isContentPresent } from './discarded-tables.ts';
import { keepAsEvidence, removeFolder, type QuarantineFolder } from './quarantine.ts';
import type { Verified } from './verify.ts';

export interface Settlement {
  readonly database: Database;
  readonly logger: Logger;
  readonly folders: readonly QuarantineFolder[];
  /** The folder of this opening; undefined if there was nothing to keep. */
  readonly folder: string | undefined;
  readonly verified: Verified;
  /** Tables that the opening took away although nobody merged them. */
  readonly discarded: readonly string[];
}

/** Never rejects. */
export async function settleQuarantine(settlement: Settlement): Promise<void> {
  const { logger, folders, folder } = settlement;
  try {
    const found = await whatIsLost(settlement);
    if (found === undefined) {
      const proven = folders.filter(({ isDamaged }) => !isDamaged);
      for (const { path } of proven) await removeFolder(path);
    } else if (folder !== undefined) {
      await keepAsEvidence(folder, folders, found);
    }
  } catch (error) {
    logger.warn({ err: error }, 'the copies of the log’s files in quarantine could not be settled');
  }
}

async function whatIsLost(settlement: Settlement): Promise<readonly Damage[] | undefined> {
  const { database, logger, verified, discarded } = settlement;
  const found = [...verified.damage, ...verified.historyDamage];
  if (found.length > 0) return found;
  if (await isContentPresent(database, discarded)) return undefined;
  logger.error(
    { tables: discarded },
    'LevelDB discarded tables that held history; a copy is kept: run varve verify, which names ' +
      'what is missing, then stop varve serve and run varve repair',
  );
  return [];
}
