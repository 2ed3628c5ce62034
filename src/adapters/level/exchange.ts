// Puts the log that a repair has built in the place of the old one. The rename of the new log is
// the moment at which it counts: until then the next repair finds all that this one found, after it
// the next opening carries out what is left to do.
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { CrashPoint, SeqRange } from '../../engine/ports.ts';
import { syncDirectory } from '../system/directories.ts';
import { exists, type LogPaths } from './log-paths.ts';
import { damageMark, isDatabaseFile, listQuarantine, noteOrigins } from './quarantine.ts';

/** Where a repair builds, until the exchange. */
export interface BuiltPaths {
  readonly log: string;
  readonly tip: string;
  readonly export: string;
}

export function builtPaths(paths: LogPaths): BuiltPaths {
  return {
    log: paths.log + '.new',
    tip: paths.tip + '.repaired',
    export: paths.export + '.repaired',
  };
}

async function renameIfThere(from: string, to: string): Promise<void> {
  if (await exists(from)) await rename(from, to);
}

/** Takes away what a repair left that did not come to its exchange. */
export async function clearBuilt(paths: LogPaths): Promise<void> {
  const built = builtPaths(paths);
  // The log last: without it the rest would count as that of an exchange that was broken off.
  await rm(built.tip, { force: true });
  await rm(built.export, { force: true });
  await rm(built.log, { recursive: true, force: true });
}

export interface Exchange {
  /** Where the old log's files go. */
  readonly keptIn: string;
  readonly lost: readonly SeqRange[];
  readonly crashPoint: CrashPoint;
}

export async function exchangeLogs(paths: LogPaths, request: Exchange): Promise<void> {
  const { keptIn, crashPoint } = request;
  const built = builtPaths(paths);
  await mkdir(keptIn, { recursive: true, mode: 0o700 });
  // Marked first: an opening after a crash here must not take this folder for one of its own.
  const report = JSON.stringify(request.lost) + '\n';
  await writeFile(join(keptIn, damageMark), report, { mode: 0o600 });
  const folders = (await listQuarantine(paths)).map(({ path }) => basename(path));
  await noteOrigins(built.log, folders);
  crashPoint('repair:marked');
  for (const name of await readdir(paths.log).catch(() => [])) {
    await rename(join(paths.log, name), join(keptIn, name));
  }
  crashPoint('repair:moved');
  await rm(paths.log, { recursive: true, force: true });
  await rename(built.log, paths.log);
  crashPoint('repair:exchanged');
  await finishExchange(paths);
}

/** Carries out what is left of an exchange of logs; does nothing where none was broken off. */
export async function finishExchange(paths: LogPaths): Promise<void> {
  const built = builtPaths(paths);
  if (!(await exists(built.tip))) return;
  if (await exists(built.log)) {
    // The tip is the last that is built: the new log is whole. Only when all of the old one was
    // moved away does it take its place; until then the next repair decides.
    const names = await readdir(paths.log).catch(() => []);
    if (names.some(isDatabaseFile)) return;
    await rm(paths.log, { recursive: true, force: true });
    await rename(built.log, paths.log);
  }
  // Not before the exchange: beside the old log it would hide the loss of what lies before it.
  await renameIfThere(built.export, paths.export);
  await rm(paths.doubt, { force: true });
  await rm(paths.running, { force: true });
  // Last: while it is there, this is done again.
  await rename(built.tip, paths.tip);
  await syncDirectory(paths.root);
}
