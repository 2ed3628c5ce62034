// Repair of a damaged log, with the daemon down: salvages what holds from the log's files, the
// quarantine's
// copies and the export, builds a new log of it beside the old one, and then puts it in the old
// one's
// place. Nothing is deleted: the old files stay in quarantine/. A crash at any point leaves either
// the
// old state, or a log that is missing, which the next opening calls damaged and the next repair
// mends.
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Damage, EventStore, Logger, SeqRange } from '../../engine/ports.ts';
import { lockRoot } from '../native/root-lock.ts';
import { openDatabase } from './database.ts';
import { loadCheckpoint } from './checkpoint-table.ts';
import { readExport, syncDirectory, writeExport } from './export-file.ts';
import { logPaths, type LogPaths } from './log-paths.ts';
import { openLog } from './open-log.ts';
import {
  beforeRepairSuffix,
  damageMark,
  listQuarantine,
  repairedMark,
  utcStamp,
} from './quarantine.ts';
import { rebuild } from './rebuild.ts';
import { describeRepair } from './repair-notes.ts';
import { planRepair, type RepairPlan } from './repair-plan.ts';
import { salvageInto, type SalvagedFile } from './salvage.ts';
import { TipFile } from './tip-file.ts';

export interface RepairOptions {
  readonly root: string;
  readonly logger: Logger;
  /** Default: the machine's clock. */
  readonly clock?: Pick<Clock, 'nowUs'>;
}

export type RepairResult =
  /** The log opens clean again. */
  | {
      readonly status: 'repaired';
      readonly savedThroughSeq: number;
      readonly lost: readonly SeqRange[];
      /** The first position of the repaired log. */
      readonly firstSeq: number;
      /** Where the old files are. */
      readonly keptIn: string;
      /** What was saved from where and what is lost, in sentences. */
      readonly notes: readonly string[];
    }
  /** Everything was verified and nothing is damaged; nothing was changed. */
  | {
      readonly status: 'sound';
      readonly savedThroughSeq: number;
      readonly lost: readonly SeqRange[];
      readonly notes: readonly string[];
    }
  /** Repair cannot run now. */
  | { readonly status: 'refused'; readonly reason: string; readonly next: string };

type Examined =
  | { readonly status: 'damaged'; readonly damage: readonly Damage[] }
  | Exclude<RepairResult, { status: 'repaired' }>;

// Opening first has three ends: it proves that no other process holds the log, it puts all files
// into
// quarantine, and it finds out whether there is anything to repair.
async function examine(options: RepairOptions, nowUs: () => number): Promise<Examined> {
  const opening = await openLog({
    root: options.root,
    logger: options.logger,
    clock: { nowUs, after: () => () => undefined },
    crashPoint: () => undefined,
    purpose: 'repair',
  });
  if (opening.status !== 'open') {
    return opening;
  }
  const store: EventStore = opening.opened.store;
  await store.close();
  const damage = [...opening.opened.damage, ...opening.historyDamage];
  if (damage.length > 0) {
    return { status: 'damaged', damage };
  }
  const notes = ['The log was verified from its first event to its last: nothing to repair.'];
  return { status: 'sound', savedThroughSeq: store.lastSeq, lost: [], notes };
}

function tipSeq(path: string): number {
  const tip = new TipFile(path);
  try {
    const stored = tip.read();
    return stored === undefined || stored === 'damaged' ? 0 : stored.lastSeq;
  } finally {
    tip.close();
  }
}

/** The highest id among the snapshots' directories; 0 when there are none. */
async function directoryIdMax(root: string): Promise<number> {
  const names = await readdir(join(root, 'snapshots')).catch(() => []);
  return names.reduce((max, name) => (/^\d+$/.test(name) ? Math.max(max, Number(name)) : max), 0);
}

interface Rebuilt {
  readonly plan: RepairPlan;
  readonly firstSeq: number;
  readonly files: readonly SalvagedFile[];
}

/** Builds the new log in `newPath`, complete and synced, and the tip that goes with it. */
async function build(
  paths: LogPaths,
  request: { readonly folders: readonly string[]; readonly timeUs: number },
): Promise<Rebuilt> {
  const newPath = paths.log + '.new';
  await rm(newPath, { recursive: true, force: true });
  const database = await openDatabase(newPath);
  try {
    const files = await salvageInto(database, request.folders);
    const exported = await readExport(paths.export);
    const plan = await planRepair(database, { exported, tipSeq: tipSeq(paths.tip) });
    const end = { timeUs: request.timeUs, directoryIdMax: await directoryIdMax(paths.root) };
    const { tip, horizonSeq } = await rebuild(database, plan, end);
    const newest = plan.checkpoints.find((seq) => seq <= plan.savedThroughSeq);
    const record = newest === undefined ? undefined : await loadCheckpoint(database, newest);
    if (record === undefined) {
      await rm(paths.export, { force: true });
    } else {
      await writeExport(paths.export, record);
    }
    const tipFile = new TipFile(paths.tip + '.new');
    tipFile.write(tip);
    tipFile.close();
    return { plan, firstSeq: horizonSeq + 1, files };
  } finally {
    await database.close();
  }
}

/** Puts the new log in the place of the old one, which moves to `keptIn`. */
async function exchange(paths: LogPaths, keptIn: string, plan: RepairPlan): Promise<void> {
  await mkdir(keptIn, { recursive: true, mode: 0o700 });
  // Marked first: an opening after a crash here must not take this folder for one of its own.
  await writeFile(join(keptIn, damageMark), JSON.stringify(plan.lost) + '\n', { mode: 0o600 });
  await moveFiles(paths.log, keptIn);
  await rename(paths.tip + '.new', paths.tip);
  await rm(paths.log, { recursive: true, force: true });
  await rename(paths.log + '.new', paths.log);
  await syncDirectory(paths.root);
  for (const { path } of await listQuarantine(paths.quarantine)) {
    await writeFile(join(path, repairedMark), '{}\n', { mode: 0o600 });
  }
  await rm(paths.doubt, { force: true });
  await rm(paths.running, { force: true });
}

async function moveFiles(from: string, to: string): Promise<void> {
  for (const name of await readdir(from).catch(() => [])) {
    await rename(join(from, name), join(to, name));
  }
}

/** Rebuilds a damaged log. Holds the lock of the root meanwhile; the daemon must be down. */
export async function repairLog(options: RepairOptions): Promise<RepairResult> {
  const locked = lockRoot(options.root);
  if (!locked.ok) return { status: 'refused', reason: locked.reason, next: locked.next };
  try {
    return await repairLocked(options);
  } finally {
    locked.lock.release();
  }
}

async function repairLocked(options: RepairOptions): Promise<RepairResult> {
  const nowUs = options.clock?.nowUs ?? ((): number => Date.now() * 1000);
  const paths = logPaths(options.root);
  const examined = await examine(options, nowUs);
  if (examined.status !== 'damaged') {
    return examined;
  }
  const timeUs = nowUs();
  const unused = (await listQuarantine(paths.quarantine)).filter(({ isRepaired }) => !isRepaired);
  const folders = [...unused.map(({ path }) => path), paths.log];
  const { plan, firstSeq, files } = await build(paths, { folders, timeUs });
  const keptIn = join(paths.quarantine, utcStamp(timeUs) + beforeRepairSuffix);
  await exchange(paths, keptIn, plan);
  const notes = describeRepair({ plan, files, damage: examined.damage, keptIn });
  const { savedThroughSeq, lost } = plan;
  options.logger.warn({ savedThroughSeq, lost, keptIn }, 'the log was repaired');
  return { status: 'repaired', savedThroughSeq, lost, firstSeq, keptIn, notes };
}
