// The quarantine keeps what LevelDB's opening may destroy. Opening replays and deletes the
// write-ahead log, drops records that do not check out without a word, and removes tables that a
// shortened manifest no longer names. So before every opening all its files are hard-linked into
// quarantine/<stamp>/; the folder goes when that opening is proven complete, and is marked and kept
// when it is not.
import { link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Found } from './findings.ts';
import { currentTables } from './manifest.ts';

/** Present in a folder that an opening with damage left for `varve repair`. */
export const damageMark = 'DAMAGED.json';
/** The log as it was before a repair, whole. */
export const beforeRepairSuffix = '-before-repair';

export interface QuarantineFolder {
  readonly path: string;
  readonly isDamaged: boolean;
  /** Whether a repair has used it up: the log goes on from what was found in it. */
  readonly isRepaired: boolean;
}

/** A UTC time as a folder's name: sorts by time, holds no character that a shell would mind. */
export function utcStamp(timeUs: number): string {
  return (
    new Date(timeUs / 1000).toISOString().replaceAll(/[-:.]/g, '') + '-' + String(timeUs % 1000)
  );
}

export function isDatabaseFile(name: string): boolean {
  return /\.(log|ldb|sst)$/.test(name) || name.startsWith('MANIFEST-') || name === 'CURRENT';
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return [];
    }
    throw error;
  }
}

export interface QuarantinedLog {
  readonly log: string;
  readonly quarantine: string;
}

/**
 * In a log that a repair has built: the names of the folders that it was built from. It stands in
 * the log itself, so that the exchange of the logs exchanges it, too.
 */
const originsName = 'ORIGINS.json';

/** Notes in a log that a repair has built what it was built from. */
export async function noteOrigins(logPath: string, folders: readonly string[]): Promise<void> {
  const content = JSON.stringify(folders) + '\n';
  await writeFile(join(logPath, originsName), content, { mode: 0o600, flush: true });
}

async function foldersUsedUp(logPath: string): Promise<ReadonlySet<string>> {
  try {
    const folders: unknown = JSON.parse(await readFile(join(logPath, originsName), 'utf8'));
    return new Set(
      Array.isArray(folders) ? folders.filter((name) => typeof name === 'string') : [],
    );
  } catch {
    // Not built by a repair, or unreadable: then what it was built from is looked at once more.
    return new Set();
  }
}

/**
 * Links the database's files; returns the new folder, or undefined when there is nothing to keep.
 */
export async function linkIntoQuarantine(
  paths: QuarantinedLog,
  timeUs: number,
): Promise<string | undefined> {
  const names = (await namesIn(paths.log)).filter(isDatabaseFile);
  if (names.length === 0) {
    return undefined;
  }
  const folder = await makeFolder(paths.quarantine, timeUs);
  const links = await Promise.allSettled(
    names.map(async (name) => {
      try {
        await link(join(paths.log, name), join(folder, name));
      } catch (error) {
        // A file that its owner deleted meanwhile: another process holds the log, as opening will
        // find.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
          throw error;
        }
      }
    }),
  );
  const failed = links.find(({ status }) => status === 'rejected');
  if (failed !== undefined) {
    await removeFolder(folder);
    throw (failed as PromiseRejectedResult).reason;
  }
  return folder;
}

/** A new folder of that time, or of the next that is free: a clock may have been set back. */
async function makeFolder(quarantine: string, timeUs: number): Promise<string> {
  await mkdir(quarantine, { recursive: true, mode: 0o700 });
  for (let stampUs = timeUs; ; stampUs += 1) {
    const folder = join(quarantine, utcStamp(stampUs));
    try {
      await mkdir(folder, { mode: 0o700 });
      return folder;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

export async function listQuarantine(paths: QuarantinedLog): Promise<QuarantineFolder[]> {
  const folders: QuarantineFolder[] = [];
  const usedUp = await foldersUsedUp(paths.log);
  for (const name of await namesIn(paths.quarantine)) {
    const path = join(paths.quarantine, name);
    const inside = await namesIn(path).catch(() => undefined);
    if (inside !== undefined) {
      folders.push({
        path,
        isDamaged: inside.includes(damageMark),
        isRepaired: usedUp.has(name),
      });
    }
  }
  return folders;
}

/**
 * Tables that an opening took away although nobody merged them: in a folder, not named by its
 * MANIFEST, and no longer there. Without its CURRENT, or with a shortened MANIFEST, LevelDB deletes
 * the tables that it does not know; a merge that a process's end broke off leaves some, too.
 */
export async function discardedTables(
  logPath: string,
  folders: readonly string[],
): Promise<readonly string[]> {
  const present = new Set(await namesIn(logPath));
  const discarded: string[] = [];
  for (const folder of folders) {
    const named = await currentTables(folder);
    for (const name of await namesIn(folder)) {
      const isTable = /\.(ldb|sst)$/.test(name);
      if (isTable && !present.has(name) && !named.has(parseInt(name, 10))) {
        discarded.push(join(folder, name));
      }
    }
  }
  return discarded;
}

export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

async function contentInodes(path: string): Promise<Set<number>> {
  const inodes = new Set<number>();
  for (const name of await namesIn(path)) {
    const { ino, size } = await stat(join(path, name));
    if (/\.(log|ldb|sst)$/.test(name) && size > 0) {
      inodes.add(ino);
    }
  }
  return inodes;
}

export function isIn(file: string, folder: string): boolean {
  return dirname(file) === folder;
}

/** The damage that a folder is kept for; none where its mark cannot be read. */
async function reportOf(folder: string): Promise<readonly Found[]> {
  try {
    const report: unknown = JSON.parse(await readFile(join(folder, damageMark), 'utf8'));
    return Array.isArray(report) ? (report as readonly Found[]) : [];
  } catch {
    // Without a report only the files can tell what the folder is kept for.
    return [];
  }
}

function isWithin(range: Found, other: Found): boolean {
  const isInside = range.fromSeq >= other.fromSeq && range.toSeq <= other.toSeq;
  return isInside && range.reason === other.reason;
}

/** Whether an older folder is kept for this damage already, or holds every file with content. */
async function isKeptIn(other: string, folder: string, damage: readonly Found[]): Promise<boolean> {
  const reported = await reportOf(other);
  const isReported = damage.every((one) => reported.some((known) => isWithin(one, known)));
  if (damage.length > 0 && isReported) return true;
  const kept = await contentInodes(other);
  return [...(await contentInodes(folder))].every((inode) => kept.has(inode));
}

/**
 * Marks `folder` as evidence. If an older one is evidence of the same it goes instead: a server
 * that is started again and again over the same damage must not pile up folders. `folders` are
 * sorted by age; those that this marks count from then on.
 */
export async function keepAsEvidence(
  folder: string,
  folders: readonly QuarantineFolder[],
  damage: readonly Found[],
): Promise<string> {
  for (const { path, isRepaired } of folders) {
    if (path === folder || isRepaired || !(await namesIn(path)).includes(damageMark)) continue;
    if (await isKeptIn(path, folder, damage)) {
      await removeFolder(folder);
      return path;
    }
  }
  await writeFile(join(folder, damageMark), JSON.stringify(damage) + '\n', { mode: 0o600 });
  return folder;
}
