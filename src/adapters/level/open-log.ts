// Opening the log. The order is the point: link the files into quarantine, open LevelDB (which may destroy
// evidence), find the newest checkpoint that holds, verify everything after it against checksums, chains
// and tip, and only then let the quarantine go. Damage found there leaves a store that can be read but
// not written, and the evidence kept for `varve repair`.
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { writeFileSync } from 'node:fs';
import type {
  Clock,
  CrashPoint,
  Damage,
  Logger,
  OpenedLog,
  SpaceGuard,
} from '../../engine/ports.ts';
import type { Database } from './database.ts';
import { failureCode, failureMessage, openDatabase, writeBatch } from './database.ts';
import { LevelEventStore } from './event-store.ts';
import { formatKey, formatVersion } from './keys.ts';
import { logPaths, type LogPaths } from './log-paths.ts';
import type { QuarantineFolder } from './quarantine.ts';
import {
  haveTablesVanished,
  keepAsEvidence,
  linkIntoQuarantine,
  listQuarantine,
  removeFolder,
} from './quarantine.ts';
import { seal, unsealJson } from './sealed-value.ts';
import type { StatFileSystem } from './space-guard.ts';
import { ReserveFile } from './space-guard.ts';
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
  /** Asks for free space; default: the file system of the root. */
  readonly statfs?: StatFileSystem;
  /** A repair verifies all history and leaves the reserve as it is. */
  readonly purpose?: 'serve' | 'repair';
}

export type OpenLogResult =
  | {
      readonly status: 'open';
      readonly opened: OpenedLog;
      readonly spaceGuard: SpaceGuard;
      /** Damage before the checkpoint, as far as there was reason to look for it. */
      readonly historyDamage: readonly Damage[];
    }
  /** LevelDB cannot open what is there: nothing can be read before `varve repair`. */
  | {
      readonly status: 'damaged';
      readonly damage: readonly Damage[];
      readonly reason: string;
      readonly next: string;
    }
  /** Nothing is wrong with the log, but it cannot be opened now or by this version. */
  | { readonly status: 'refused'; readonly reason: string; readonly next: string };

const repairNext = 'stop varve serve and run varve repair';

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

/** Opens LevelDB, or says why not; what was linked stays unless another process simply holds the log. */
async function openOrExplain(
  paths: LogPaths,
  folder: string | undefined,
): Promise<{ readonly database: Database } | Exclude<OpenLogResult, { status: 'open' }>> {
  try {
    return { database: await openDatabase(paths.log) };
  } catch (error) {
    const code = failureCode(error);
    const message = failureMessage(error);
    if (code === 'LEVEL_LOCKED') {
      if (folder !== undefined) {
        await removeFolder(folder);
      }
      return {
        status: 'refused',
        reason: `another process uses the log in ${paths.log}`,
        next: 'stop the other varve serve (or varve repair) on this root, or choose another root',
      };
    }
    // A file that is missing or does not parse is damage; any other I/O error is the disk's condition now.
    if (code === 'LEVEL_CORRUPTION' || !(await isDiskAtFault(paths))) {
      const damage = [{ fromSeq: 1, toSeq: tipSeq(paths), reason: message, streams: [] }];
      if (folder !== undefined) {
        await keepAsEvidence(folder, await listQuarantine(paths.quarantine), damage);
      }
      return { status: 'damaged', damage, reason: message, next: repairNext };
    }
    return {
      status: 'refused',
      reason: `the log in ${paths.log} cannot be opened: ${message}`,
      next: 'free space on its file system or look at the disk, then start varve serve again',
    };
  }
}

/** More than LevelDB needs to open: a write-ahead log becomes a table of up to its buffer's size. */
const probeBytes = 8 * 1024 * 1024;

/** Whether nothing can be written beside the log either. */
async function isDiskAtFault(paths: LogPaths): Promise<boolean> {
  const probe = paths.log + '.probe';
  try {
    await writeFile(probe, Buffer.alloc(probeBytes), { flush: true });
    return false;
  } catch {
    // The very thing asked for.
    return true;
  } finally {
    await rm(probe, { force: true });
  }
}

function tipSeq(paths: LogPaths): number {
  const tip = new TipFile(paths.tip);
  try {
    const stored = tip.read();
    return stored === undefined || stored === 'damaged' ? 1 : Math.max(stored.lastSeq, 1);
  } finally {
    tip.close();
  }
}

/** The newer version that wrote the log, if one did. Writes our own version into a new log. */
async function newerFormat(database: Database, logger: Logger): Promise<number | undefined> {
  const value = await database.get(formatKey).catch(() => 'unreadable');
  const stored = unsealJson(formatKey, value) as { formatVersion: number } | undefined;
  if (stored !== undefined) {
    return stored.formatVersion > formatVersion ? stored.formatVersion : undefined;
  }
  if (value !== undefined) {
    logger.warn({}, 'the log’s format version was unreadable and is written anew');
  }
  const payload = seal(formatKey, JSON.stringify({ formatVersion }));
  await writeBatch(database, [{ type: 'put', key: formatKey, value: payload }], { sync: true });
  return undefined;
}

/** Lets the evidence go when the log is proven whole, keeps it when not. */
async function settleQuarantine(
  folders: readonly QuarantineFolder[],
  verified: Verified,
  folder: string | undefined,
): Promise<void> {
  const found = [...verified.damage, ...verified.historyDamage];
  if (found.length === 0) {
    for (const { path, isDamaged } of folders) {
      if (!isDamaged) {
        await removeFolder(path);
      }
    }
  } else if (folder !== undefined) {
    await keepAsEvidence(folder, folders, found);
  }
}

/** What keeps LevelDB from writing: the damage, wherever it is, since its next merge would stop again. */
function blockedBy(verified: Verified): readonly Damage[] {
  const found = [...verified.damage, ...verified.historyDamage];
  const reason =
    'LevelDB cannot go on over an unreadable block, though no event is known to be lost';
  const toSeq = Math.max(verified.start.lastSeq, 1);
  return found.length > 0 ? found : [{ fromSeq: 1, toSeq, reason, streams: [] }];
}

function marksDamage(paths: LogPaths, logger: Logger, reserve: ReserveFile) {
  return (error: unknown): void => {
    reserve.release();
    logger.error({ err: error, cause: failureMessage(error) }, 'the log cannot be written');
    // LevelDB stops writing when it meets a damaged block. Without this mark each restart would run
    // until it meets that block again; with it the next opening verifies everything and stays up, read-only.
    if (failureCode(error) === 'LEVEL_CORRUPTION') {
      try {
        writeFileSync(paths.doubt, failureMessage(error) + '\n', { mode: 0o600 });
      } catch (failure) {
        logger.error({ err: failure }, 'the doubt cannot be noted');
      }
    }
  };
}

export async function openLog(options: OpenLogOptions): Promise<OpenLogResult> {
  const { root, clock, logger, crashPoint, purpose = 'serve' } = options;
  const paths = logPaths(root);
  await mkdir(root, { recursive: true, mode: 0o700 });
  const { reserveSizeBytes: sizeBytes, statfs } = options;
  const reserve = new ReserveFile({ root, logger, sizeBytes, statfs });
  let folder: string | undefined;
  try {
    await reserve.beforeOpen();
    folder = await linkIntoQuarantine(paths, clock.nowUs());
  } catch (error) {
    return {
      status: 'refused',
      reason: `the log's files cannot be linked into ${paths.quarantine}: ${failureMessage(error)}`,
      next: 'free space on its file system or look at the disk, then start varve serve again',
    };
  }
  crashPoint('open:linked');
  const opening = await openOrExplain(paths, folder);
  if ('status' in opening) return opening;
  const { database } = opening;
  crashPoint('open:opened');
  const newer = await newerFormat(database, logger);
  if (newer !== undefined) {
    await database.close();
    return {
      status: 'refused',
      reason: `the log was written in format ${newer}; this varve knows formats up to ${formatVersion}`,
      next: 'start the varve version that wrote it, or a newer one',
    };
  }
  const tip = new TipFile(paths.tip);
  const folders = await listQuarantine(paths.quarantine);
  const unproven = folders.filter(({ isDamaged }) => !isDamaged).map(({ path }) => path);
  const isBlocked = await exists(paths.doubt);
  const isInDoubt =
    isBlocked ||
    purpose === 'repair' ||
    (await haveTablesVanished(paths.log, unproven)) ||
    !(await areLogsIntact(unproven));
  const verified = await verifyLog(database, { paths, tip, logger, isInDoubt });
  await settleQuarantine(folders, verified, folder);
  crashPoint('open:verified');
  const damage = isBlocked ? blockedBy(verified) : verified.damage;
  const { historyDamage } = verified;
  const isSound = damage.length === 0;
  if (isSound && verified.start.lastSeq > 0) {
    tip.write({ lastSeq: verified.start.lastSeq, batchHash: verified.start.batchHash });
  }
  const onFailure = marksDamage(paths, logger, reserve);
  const onClose = (): Promise<void> => reserve.close();
  const parts = { database, tip, exportPath: paths.export, logger, crashPoint, onFailure, onClose };
  const store = new LevelEventStore(parts, { ...verified.start, damage });
  // In the background: the first preallocation must not hold up the start.
  if (purpose === 'serve') {
    void reserve.refresh();
  }
  return { status: 'open', opened: { store, damage }, spaceGuard: reserve, historyDamage };
}
