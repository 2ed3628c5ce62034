// What becomes of the quarantine after an opening: it goes when the log is proven whole, and is
// kept as evidence when it is not. What takes time is looked into here, behind the start: history
// before the checkpoint when a write-ahead log was torn, tables that the opening discarded, and
// tables over which LevelDB may end the process.
import type { Damage, Logger } from '../../engine/ports.ts';
import type { Database } from './database.ts';
import { isContentPresent } from './discarded-tables.ts';
import type { LogPaths } from './log-paths.ts';
import { isIn, keepAsEvidence, removeFolder, type QuarantineFolder } from './quarantine.ts';
import { scrubLog } from './scrub.ts';
import { surveySlowly } from './table-survey.ts';
import type { Verified } from './verify.ts';

export interface Settlement {
  readonly database: Database;
  readonly logger: Logger;
  readonly paths: LogPaths;
  /** All folders, that of this opening among them, oldest first. */
  readonly folders: readonly QuarantineFolder[];
  readonly verified: Verified;
  /** Whether a write-ahead log was torn: what it lost may lie before the checkpoint. */
  readonly isTorn: boolean;
  /** Tables that the opening took away although nobody merged them. */
  readonly discarded: readonly string[];
  readonly mustSurvey: boolean;
  /** Broken off, everything stays as it is for the next opening. */
  readonly signal: AbortSignal;
}

/** A history of so many events is looked through at once; a longer one behind the start. */
const shortEventCount = 1_000;

const never = new AbortController().signal;

/** Whether the start need not wait for it. */
export function isSettledLater({ isTorn, verified, discarded, mustSurvey }: Settlement): boolean {
  const isLong = verified.start.lastSeq > shortEventCount;
  return (isTorn && isLong) || discarded.length > 0 || mustSurvey;
}

/** Answers the damage of history. Never rejects. */
export async function settleQuarantine(settlement: Settlement): Promise<readonly Damage[]> {
  const { logger } = settlement;
  let damage = settlement.verified.historyDamage;
  try {
    const torn = await tornHistory(settlement);
    if (torn === 'broken off') return damage;
    damage = [...damage, ...torn];
    await settleFolders(settlement, [...settlement.verified.damage, ...damage]);
    if (settlement.mustSurvey) damage = [...damage, ...(await survey(settlement))];
  } catch (error) {
    logger.warn({ err: error }, 'what the opening left to be looked into could not be settled');
  }
  return damage;
}

async function tornHistory(settlement: Settlement): Promise<readonly Damage[] | 'broken off'> {
  const { database, logger, verified, isTorn, signal } = settlement;
  if (!isTorn || verified.damage.length > 0 || verified.historyDamage.length > 0) return [];
  const { lastSeq, horizon } = verified.start;
  const range = { fromSeq: 1, toSeq: lastSeq };
  const isLong = lastSeq > shortEventCount;
  const request = { range, horizon, signal: isLong ? signal : never } as const;
  const found = await scrubLog(database, { ...request, pace: isLong ? 'gentle' : 'full' });
  if (isLong && signal.aborted) return 'broken off';
  for (const damage of found) {
    logger.error({ damage }, 'stored history is damaged: run varve verify, then varve repair');
  }
  return found;
}

async function settleFolders(settlement: Settlement, found: readonly Damage[]): Promise<void> {
  const { database, logger, folders, discarded } = settlement;
  const unproven = folders.filter(({ isDamaged }) => !isDamaged).map(({ path }) => path);
  const isPresent = found.length > 0 || (await isContentPresent(database, discarded));
  if (!isPresent) {
    logger.error(
      { tables: discarded },
      'LevelDB discarded tables that held history; a copy is kept: run varve verify, which names ' +
        'what is missing, then stop varve serve and run varve repair',
    );
  }
  for (const path of unproven) {
    const isEvidence =
      found.length > 0 || (!isPresent && discarded.some((file) => isIn(file, path)));
    if (isEvidence) await keepAsEvidence(path, folders, found);
    else await removeFolder(path);
  }
}

async function survey(settlement: Settlement): Promise<readonly Damage[]> {
  const { logger, paths, verified, signal } = settlement;
  const names = await surveySlowly(paths, signal);
  if (names.length === 0) return [];
  logger.error(
    { tables: names },
    'LevelDB may end the process over damaged tables: stop varve serve, run varve repair',
  );
  const toSeq = Math.max(verified.start.lastSeq, 1);
  return [{ fromSeq: 1, toSeq, reason: `damaged in ${names.join(', ')}`, streams: [] }];
}
