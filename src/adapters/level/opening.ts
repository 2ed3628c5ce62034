// Opens LevelDB, or says why it cannot or must not be opened: in use, damaged, or no room.
import { rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Damage, OpenedLog, SpaceGuard } from '../../engine/ports.ts';
import { failureCode, failureMessage, isNoSpace, openDatabase, type Database } from './database.ts';
import type { LogPaths } from './log-paths.ts';
import { keepAsEvidence, listQuarantine, removeFolder } from './quarantine.ts';
import { abortingTables, isLocked, missingRanges } from './survey.ts';
import { TipFile } from './tip-file.ts';

export type OpenLogResult =
  | {
      readonly status: 'open';
      readonly opened: OpenedLog;
      readonly spaceGuard: SpaceGuard;
      /** Damage before the checkpoint, as far as there was reason to look for it. */
      readonly historyDamage: readonly Damage[];
      /** Whether it cannot be written though everything after the checkpoint is whole. */
      readonly isBlockedByHistory: boolean;
    }
  /** LevelDB cannot open what is there: nothing can be read before `varve repair`. */
  | {
      readonly status: 'damaged';
      readonly damage: readonly Damage[];
      readonly reason: string;
      readonly next: string;
    }
  /** Nothing is wrong with the log, but it cannot be opened now or by this version. */
  | {
      readonly status: 'refused';
      readonly reason: string;
      readonly next: string;
      /** Whether only room on the disk is missing: with it the next opening succeeds. */
      readonly awaitsSpace?: boolean;
    };

const repairNext = 'stop varve serve and run varve repair';

/** What comes of an opening that did not open. */
export type NotOpened = Exclude<OpenLogResult, { status: 'open' }>;

/** The disk is full. Nothing was destroyed by then: LevelDB deletes files once it is open. */
export async function outOfSpace(
  paths: LogPaths,
  folder: string | undefined,
  error: unknown,
): Promise<NotOpened> {
  if (folder !== undefined) {
    await removeFolder(folder);
  }
  return {
    status: 'refused',
    reason: `there is no room to open the log in ${paths.log}: ${failureMessage(error)}`,
    next: 'free space on its file system',
    awaitsSpace: true,
  };
}

export function inUse(paths: LogPaths): NotOpened {
  return {
    status: 'refused',
    reason: `another process uses the log in ${paths.log}`,
    next: 'stop the other varve serve (or varve repair) on this root, or choose another root',
  };
}

export async function unopenable(
  paths: LogPaths,
  folder: string | undefined,
  reason: string,
): Promise<NotOpened> {
  const damage = await missingRanges(folder ?? paths.log, { tipSeq: tipSeq(paths), reason });
  if (folder !== undefined) {
    await keepAsEvidence(folder, await listQuarantine(paths), damage);
  }
  return { status: 'damaged', damage, reason, next: repairNext };
}

/**
 * After a process that did not end in order: LevelDB itself may have ended it over a damaged
 * table, and
 * would again. Such a table is found here instead.
 */
export async function refuseAborting(
  paths: LogPaths,
  folder: string | undefined,
): Promise<NotOpened | undefined> {
  const tables = await abortingTables(paths.log);
  if (tables.length === 0) {
    return undefined;
  }
  if (await isLocked(paths.log)) {
    if (folder !== undefined) {
      await removeFolder(folder);
    }
    return inUse(paths);
  }
  const names = tables.map((path) => basename(path)).join(', ');
  return await unopenable(paths, folder, `damaged in ${names}`);
}

/**
 * Opens LevelDB, or says why not; what was linked stays unless another process simply holds the
 * log.
 */
export async function openOrExplain(
  paths: LogPaths,
  folder: string | undefined,
): Promise<{ readonly database: Database } | NotOpened> {
  try {
    return { database: await openDatabase(paths.log) };
  } catch (error) {
    const code = failureCode(error);
    const message = failureMessage(error);
    if (code === 'LEVEL_LOCKED') {
      if (folder !== undefined) {
        await removeFolder(folder);
      }
      return inUse(paths);
    }
    if (isNoSpace(error)) {
      return await outOfSpace(paths, folder, error);
    }
    // A file that is missing or does not parse is damage; any other I/O error is the disk's
    // condition now.
    if (code === 'LEVEL_CORRUPTION' || !(await isDiskAtFault(paths))) {
      return await unopenable(paths, folder, message);
    }
    return {
      status: 'refused',
      reason: `the log in ${paths.log} cannot be opened: ${message}`,
      next: 'free space on its file system or look at the disk, then start varve serve again',
    };
  }
}

/**
 * More than LevelDB needs to open: a write-ahead log becomes a table of up to its buffer's size.
 */
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
