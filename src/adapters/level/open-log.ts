// Opening the log. The order is the point: link the files into quarantine, open LevelDB (which may
// destroy evidence), find the newest checkpoint that holds, verify everything after it against
// checksums, chains and tip, and only then let the quarantine go. Damage found there leaves a store
// that can be read but not written, and the evidence kept for `varve repair`. Where the disk has no
// room for it, the reserve lends some and it is tried again.
import { writeFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import type { Clock, CrashPoint, Damage, Logger } from '../../engine/ports.ts';
import type { Database } from './database.ts';
import { failureCode, failureMessage, isNoSpace, writeBatch } from './database.ts';
import {
  inUse,
  openOrExplain,
  outOfSpace,
  refuseAborting,
  unopenable,
  type NotOpened,
  type OpenLogResult,
} from './opening.ts';
import { LevelEventStore } from './event-store.ts';
import { finishExchange } from './exchange.ts';
import { formatKey, formatVersion } from './keys.ts';
import { exists, logPaths, type LogPaths } from './log-paths.ts';
import { LogRoom } from './log-room.ts';
import { discardedTables, linkIntoQuarantine, listQuarantine } from './quarantine.ts';
import { seal, unsealJson } from './sealed-value.ts';
import { isSettledLater, settleQuarantine } from './settle-quarantine.ts';
import { ReserveFile } from './space-guard.ts';
import { isLocked } from './survey.ts';
import { markRunning, surveyTime, type SurveyTime } from './table-survey.ts';
import { TipFile } from './tip-file.ts';
import type { Verified } from './verify.ts';
import { verifyLog } from './verify.ts';
import { areLogsIntact } from './write-ahead-log.ts';

export interface OpenLogOptions {
  readonly root: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly crashPoint: CrashPoint;
  /** Size of the reserve file; default 64 MiB. */
  readonly reserveSizeBytes?: number;
  /** A repair verifies all history and does not take the reserve back. */
  readonly purpose?: 'serve' | 'repair';
}

/** The format version of the log; undefined for a new one, and for one that cannot be read. */
async function storedFormat(database: Database): Promise<number | 'unreadable' | undefined> {
  const value = await database.get(formatKey).catch(() => 'unreadable');
  if (value === undefined) return undefined;
  const stored = unsealJson(formatKey, value) as { formatVersion: number } | undefined;
  return stored?.formatVersion ?? 'unreadable';
}

async function writeFormat(database: Database): Promise<void> {
  const payload = seal(formatKey, JSON.stringify({ formatVersion }));
  await writeBatch(database, [{ type: 'put', key: formatKey, value: payload }], { sync: true });
}

/**
 * What keeps LevelDB from writing: the damage, wherever it is, since its next merge would stop
 * again.
 */
function blockedBy(verified: Verified): readonly Damage[] {
  const found = [...verified.damage, ...verified.historyDamage];
  const reason =
    'LevelDB cannot go on over an unreadable block, though no event is known to be lost';
  const toSeq = Math.max(verified.start.lastSeq, 1);
  return found.length > 0 ? found : [{ fromSeq: 1, toSeq, reason, streams: [] }];
}

function marksDamage(paths: LogPaths, logger: Logger, reserve: ReserveFile) {
  return (error: unknown): void => {
    logger.error({ err: error, cause: failureMessage(error) }, 'the log cannot be written');
    // What failed may be a merge, which the next start begins again.
    if (isNoSpace(error)) reserve.lendForMerge();
    // LevelDB stops writing when it meets a damaged block. Without this mark each restart would run
    // until it meets that block again; with it the next opening verifies everything and stays up,
    // read-only.
    if (failureCode(error) === 'LEVEL_CORRUPTION') {
      try {
        writeFileSync(paths.doubt, failureMessage(error) + '\n', { mode: 0o600 });
      } catch (failure) {
        logger.error({ err: failure }, 'the doubt cannot be noted');
      }
    }
  };
}

export type { OpenLogResult } from './opening.ts';

/** What must happen before LevelDB sees the files; says why not when it cannot. */
async function beforeOpening(
  paths: LogPaths,
  { clock, purpose }: OpenLogOptions,
): Promise<{ readonly folder: string | undefined; readonly survey: SurveyTime } | NotOpened> {
  let folder: string | undefined;
  try {
    await finishExchange(paths);
    folder = await linkIntoQuarantine(paths, clock.nowUs());
    const survey = await surveyTime(paths);
    if (survey === 'first' || purpose === 'repair') {
      const refused = await refuseAborting(paths, folder);
      if (refused !== undefined) return refused;
    }
    await markRunning(paths, survey);
    return { folder, survey };
  } catch (error) {
    if (isNoSpace(error)) return await outOfSpace(paths, folder, error);
    return {
      status: 'refused',
      reason: `the log's files cannot be linked into ${paths.quarantine}: ${failureMessage(error)}`,
      next: 'look at the disk, then start varve serve again',
    };
  }
}

/** Opens the log below `root`; the store may be written only when no damage was found. */
export async function openLog(options: OpenLogOptions): Promise<OpenLogResult> {
  const { root, logger, reserveSizeBytes: sizeBytes } = options;
  const paths = logPaths(root);
  await mkdir(root, { recursive: true, mode: 0o700 });
  // The reserve belongs to whoever has the log open.
  if (await isLocked(paths.log)) return inUse(paths);
  const reserve = new ReserveFile({ root, logger, sizeBytes });
  reserve.assess();
  for (;;) {
    const result = await tryOpening(options, paths, reserve);
    const awaitsSpace = result.status === 'refused' && result.awaitsSpace === true;
    if (!awaitsSpace || !(await reserve.lendForOpening())) return result;
  }
}

async function tryOpening(
  options: OpenLogOptions,
  paths: LogPaths,
  reserve: ReserveFile,
): Promise<OpenLogResult> {
  const { crashPoint } = options;
  const before = await beforeOpening(paths, options);
  if ('status' in before) return before;
  const { folder, survey } = before;
  crashPoint('open:linked');
  const opening = await openOrExplain(paths, folder);
  if ('status' in opening) return opening;
  const { database } = opening;
  crashPoint('open:opened');
  try {
    const result = await openStore(options, { paths, reserve, database, survey });
    if (result.status !== 'open') await database.close();
    return result;
  } catch (error) {
    // Whatever was linked stays: LevelDB has been at work.
    await database.close();
    if (isNoSpace(error)) return await outOfSpace(paths, undefined, error);
    if (!isDiskError(error)) throw error;
    return await unopenable(paths, folder, failureMessage(error));
  }
}

/** Whether the disk or LevelDB refused, as opposed to a mistake of ours. */
function isDiskError(error: unknown): boolean {
  return /^(LEVEL_|EIO$)/.test(failureCode(error));
}

interface Opening {
  readonly paths: LogPaths;
  readonly reserve: ReserveFile;
  readonly database: Database;
  readonly survey: SurveyTime;
}

async function openStore(
  { logger, crashPoint, purpose = 'serve' }: OpenLogOptions,
  { paths, reserve, database, survey }: Opening,
): Promise<OpenLogResult> {
  const format = await storedFormat(database);
  if (typeof format === 'number' && format > formatVersion) {
    return {
      status: 'refused',
      reason: `the log was written in format ${format}; this varve knows formats up to ${formatVersion}`,
      next: 'start the varve version that wrote it, or a newer one',
    };
  }
  const tip = new TipFile(paths.tip);
  const folders = await listQuarantine(paths);
  const isBlocked = await exists(paths.doubt);
  const unproven = folders.filter(({ isDamaged }) => !isDamaged).map(({ path }) => path);
  const isInDoubt = isBlocked || purpose === 'repair';
  const verified = await verifyLog(database, { paths, tip, logger, isInDoubt });
  const isTorn = !isInDoubt && !(await areLogsIntact(unproven));
  const discarded = isInDoubt || isTorn ? [] : await discardedTables(paths.log, unproven);
  const mustSurvey = survey === 'later' && purpose === 'serve';
  const closing = new AbortController();
  const { signal } = closing;
  const doubts = { isTorn, discarded, mustSurvey, signal };
  const settlement = { database, logger, paths, folders, verified, ...doubts };
  const settled = settleQuarantine(settlement);
  if (!isSettledLater(settlement)) await settled;
  crashPoint('open:verified');
  const damage = isBlocked ? blockedBy(verified) : verified.damage;
  const { historyDamage } = verified;
  const isSound = damage.length === 0;
  if (isSound && format === 'unreadable') {
    logger.warn({}, 'the log’s format version was unreadable and is written anew');
  }
  if (isSound && typeof format !== 'number') await writeFormat(database);
  if (isSound && verified.start.lastSeq > 0) {
    tip.write({ lastSeq: verified.start.lastSeq, batchHash: verified.start.batchHash });
  }
  const room = new LogRoom(paths.log, reserve);
  // A server that could not even record a Remove would end at the first one.
  if (isSound && room.isShort && !(await room.forAppend(0))) {
    await settled;
    tip.close();
    return await outOfSpace(paths, undefined, new Error('no room for what it has to record'));
  }
  const onFailure = marksDamage(paths, logger, reserve);
  const onClose = async (): Promise<void> => {
    await rm(paths.running, { force: true });
    await reserve.close();
  };
  const callbacks = { crashPoint, onFailure, onClose };
  const files = { database, tip, room, exportPath: paths.export, settled, closing };
  const parts = { ...files, logger, ...callbacks };
  const store = new LevelEventStore(parts, { ...verified.start, damage });
  // In the background: the first preallocation must not hold up the start.
  if (purpose === 'serve') {
    void reserve.refresh();
  }
  const opened = { store, damage };
  const isBlockedByHistory = damage.length > 0 && verified.isTailWhole;
  return { status: 'open', opened, spaceGuard: reserve, historyDamage, isBlockedByHistory };
}
