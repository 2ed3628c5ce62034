// What the log's files hold, found without opening them with LevelDB: used when it cannot or must
// not.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Damage } from '../../engine/ports.ts';
import { turn } from './checkpoint-table.ts';
import { readFileContent } from './file-content.ts';
import type { StoredHorizon } from './horizon.ts';
import { horizonKey, lossesKey, parseKey } from './keys.ts';
import { decodeLosses, lossAt, noLosses } from './losses.ts';
import { entriesOf } from './salvage.ts';
import { unsealJson } from './sealed-value.ts';
import { wouldAbort } from './table-reader.ts';

async function filesIn(folder: string, pattern: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => pattern.test(name)).map((name) => join(folder, name));
}

export async function tablePaths(logPath: string): Promise<string[]> {
  return await filesIn(logPath, /\.(ldb|sst)$/);
}

/**
 * Tables over which LevelDB would end the process. It maps them into memory, where a page that the
 * disk does not give back is a signal that nobody survives.
 */
export async function abortingTables(logPath: string): Promise<string[]> {
  const found: string[] = [];
  for (const path of await tablePaths(logPath)) {
    const { content, isWhole } = await readFileContent(path);
    if (!isWhole || wouldAbort(content)) {
      found.push(path);
    }
    await turn();
  }
  return found;
}

/**
 * Names the positions that no file holds any more; without a gap, the whole log with the reason
 * given.
 */
export async function missingRanges(
  logPath: string,
  known: { readonly tipSeq: number; readonly reason: string },
): Promise<Damage[]> {
  const present = new Set<number>();
  let lastSeq = known.tipSeq;
  let horizonSeq = 0;
  let losses = noLosses;
  for (const path of await filesIn(logPath, /\.(log|ldb|sst)$/)) {
    const { content } = await readFileContent(path);
    for (const { key, value } of entriesOf(path, content)) {
      const parsed = parseKey(key);
      if (parsed?.kind === 'event') {
        present.add(parsed.seq);
        lastSeq = Math.max(lastSeq, parsed.seq);
      } else if (key === horizonKey) {
        const stored = unsealJson(key, value) as StoredHorizon | undefined;
        horizonSeq = Math.max(horizonSeq, stored?.horizonSeq ?? 0);
      } else if (key === lossesKey) {
        losses = decodeLosses(value) ?? losses;
      }
    }
    await turn();
  }
  const damage: Damage[] = [];
  for (let seq = horizonSeq + 1; seq <= lastSeq; seq += 1) {
    if (present.has(seq) || lossAt(losses, seq) !== undefined) {
      continue;
    }
    const fromSeq = seq;
    while (seq < lastSeq && !present.has(seq + 1)) {
      seq += 1;
    }
    damage.push({ fromSeq, toSeq: seq, reason: known.reason, streams: [] });
  }
  const reason = `${known.reason}; no event is known to be lost`;
  return damage.length > 0
    ? damage
    : [{ fromSeq: horizonSeq + 1, toSeq: Math.max(lastSeq, 1), reason, streams: [] }];
}

/** Whether a process holds LevelDB's lock, as the kernel lists it. */
export async function isLocked(logPath: string): Promise<boolean> {
  const path = join(logPath, 'LOCK');
  const lock = await stat(path).catch(() => undefined);
  if (lock === undefined) return false;
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '');
  // The list's device is not the one that stat names on every file system, so the holder's open
  // file is asked for it.
  for (const [, pid] of locks.matchAll(new RegExp(` (\\d+) \\S+:${lock.ino} `, 'g'))) {
    if (await hasOpen(`/proc/${pid}/fd`, lock)) return true;
  }
  return false;
}

async function hasOpen(
  descriptors: string,
  file: { readonly dev: number; readonly ino: number },
): Promise<boolean> {
  for (const name of await readdir(descriptors).catch(() => [])) {
    const open = await stat(join(descriptors, name)).catch(() => undefined);
    if (open?.ino === file.ino && open.dev === file.dev) return true;
  }
  return false;
}
