// Repair of a damaged log, with the daemon down: salvages what holds from the log's files, the
// quarantine's copies and the export, builds a new log of it beside the old one, and then puts it
// in the old one's place. Nothing is deleted: the old files stay in quarantine/. A crash at any
// point leaves either the old state, or a log that is missing, which the next opening calls damaged
// and the next repair mends.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { GivenUpSnapshot } from '../../machines/gap-fold.ts';
import type { Cause } from '../../machines/kernel/envelope.ts';
import type {
  Clock,
  CrashPoint,
  Damage,
  EventStore,
  Logger,
  SeqRange,
} from '../../engine/ports.ts';
import { WrittenByNewer } from '../../machines/kernel/invariant.ts';
import { lockRoot } from '../native/root-lock.ts';
import { openDatabase } from './database.ts';
import { builtPaths, clearBuilt, exchangeLogs } from './exchange.ts';
import { readExport, writeExport } from './export-file.ts';
import { logPaths, type LogPaths } from './log-paths.ts';
import { openLog } from './open-log.ts';
import { beforeRepairSuffix, listQuarantine, utcStamp } from './quarantine.ts';
import { rebuild } from './rebuild.ts';
import { describeRepair } from './repair-notes.ts';
import { planRepair, type RepairPlan, type StartFold } from './repair-plan.ts';
import { salvageInto, type SalvagedFile } from './salvage.ts';
import { TipFile } from './tip-file.ts';

export interface RepairOptions {
  readonly root: string;
  readonly logger: Logger;
  /** Default: the machine's clock. */
  readonly clock?: Pick<Clock, 'nowUs'>;
  readonly crashPoint?: CrashPoint;
  readonly startFold: StartFold;
}

/** The log opens clean again. */
export interface RepairedLog {
  readonly status: 'repaired';
  /** The last position of the repaired log: the event that says what was repaired. */
  readonly lastSeq: number;
  /** What this repair could not save: at most the events in these ranges. */
  readonly lost: readonly SeqRange[];
  /** The first position of the repaired log. */
  readonly firstSeq: number;
  /** Snapshots that the log no longer knows, since too much of their history is lost. */
  readonly givenUp: readonly GivenUpSnapshot[];
  /** Where the old files are. */
  readonly keptIn: string;
  /** What was saved from where and what is lost, in sentences. */
  readonly notes: readonly string[];
}

export type RepairResult =
  | RepairedLog
  /** Everything was verified and nothing is damaged; nothing was changed. */
  | {
      readonly status: 'sound';
      readonly lastSeq: number;
      readonly lost: readonly SeqRange[];
      readonly notes: readonly string[];
    }
  /** Repair cannot run now. */
  | { readonly status: 'refused'; readonly reason: string; readonly next: string };

type Examined =
  | { readonly status: 'damaged'; readonly damage: readonly Damage[] }
  | Exclude<RepairResult, RepairedLog>;

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
  return { status: 'sound', lastSeq: store.lastSeq, lost: [], notes };
}

/** The position that the tip names; 0 if it cannot be read. */
function tipSeq(path: string): number {
  const tip = new TipFile(path);
  try {
    const stored = tip.read();
    return stored === undefined || stored === 'damaged' ? 0 : stored.lastSeq;
  } finally {
    tip.close();
  }
}

/**
 * The ids of the snapshots' directories. None found at all says nothing about any: the file system
 * that holds them may not be mounted.
 */
async function directoryIds(root: string): Promise<ReadonlySet<number> | undefined> {
  const names = await readdir(join(root, 'snapshots')).catch(() => []);
  const ids = names.filter((name) => /^[1-9]\d*$/.test(name)).map(Number);
  return ids.length === 0 ? undefined : new Set(ids);
}

interface Rebuilt {
  readonly plan: RepairPlan;
  readonly files: readonly SalvagedFile[];
}

/** Builds the new log, complete and synced, and the tip and the export that go with it. */
async function build(
  paths: LogPaths,
  request: {
    readonly folders: readonly string[];
    readonly timeUs: number;
    readonly cause: Cause;
    readonly startFold: StartFold;
  },
): Promise<Rebuilt> {
  await clearBuilt(paths);
  const built = builtPaths(paths);
  const database = await openDatabase(built.log);
  try {
    const files = await salvageInto(database, request.folders);
    const exported = await readExport(paths.export);
    const plan = await planRepair(database, {
      exported,
      tipSeq: tipSeq(paths.tip),
      directoryIds: await directoryIds(paths.root),
      startFold: request.startFold,
    });
    const tip = await rebuild(database, plan, request);
    if (plan.resumed !== undefined) {
      await writeExport(built.export, plan.resumed);
    }
    const tipFile = new TipFile(built.tip);
    tipFile.write(tip);
    tipFile.sync();
    tipFile.close();
    return { plan, files };
  } finally {
    await database.close();
  }
}

/** Rebuilds a damaged log. Holds the lock of the root meanwhile; the daemon must be down. */
export async function repairLog(options: RepairOptions): Promise<RepairResult> {
  const locked = lockRoot(options.root);
  if (!locked.ok) return { status: 'refused', reason: locked.reason, next: locked.next };
  try {
    return await repairLocked(options);
  } catch (error) {
    if (!(error instanceof WrittenByNewer)) throw error;
    await clearBuilt(logPaths(options.root));
    const next = 'run varve repair of that version, or of a newer one';
    return { status: 'refused', reason: error.message, next };
  } finally {
    locked.lock.release();
  }
}

async function repairLocked(options: RepairOptions): Promise<RepairResult> {
  const examined = await examine(options, clockOf(options));
  if (examined.status !== 'damaged') return examined;
  const cause: Cause = { kind: 'operator', method: 'repair' };
  const accepts = (): boolean => true;
  const repaired = await rebuildLog(options, { damage: examined.damage, cause, accepts });
  if (repaired === undefined) throw new Error('a repair accepts whatever can be saved');
  return repaired;
}

/**
 * Rebuilds a log that LevelDB cannot open or write, if all that is lost lies before the newest
 * checkpoint, so that the state is whole. Undefined: it is not, or cannot be told, and nothing was
 * changed. The caller holds the lock of the root, and has closed the log.
 */
export async function mendHistory(
  options: RepairOptions,
  damage: readonly Damage[],
): Promise<RepairedLog | undefined> {
  // Without the tip nothing says where the log ended.
  if (tipSeq(logPaths(options.root).tip) === 0) return undefined;
  const accepts = (plan: RepairPlan): boolean => plan.resumed === undefined;
  return await rebuildLog(options, { damage, cause: { kind: 'recovery' }, accepts });
}

interface Rebuilding {
  readonly damage: readonly Damage[];
  readonly cause: Cause;
  /** Whether the log that would come of it shall take the place of the old one. */
  readonly accepts: (plan: RepairPlan) => boolean;
}

async function rebuildLog(
  options: RepairOptions,
  { damage, cause, accepts }: Rebuilding,
): Promise<RepairedLog | undefined> {
  const { crashPoint = () => undefined, startFold } = options;
  const paths = logPaths(options.root);
  const timeUs = clockOf(options)();
  const unused = (await listQuarantine(paths)).filter(({ isRepaired }) => !isRepaired);
  const folders = [...unused.map(({ path }) => path), paths.log];
  crashPoint('repair:examined');
  const { plan, files } = await build(paths, { folders, timeUs, cause, startFold });
  if (!accepts(plan)) {
    await clearBuilt(paths);
    return undefined;
  }
  crashPoint('repair:built');
  const keptIn = join(paths.quarantine, utcStamp(timeUs) + beforeRepairSuffix);
  await exchangeLogs(paths, { keptIn, lost: plan.lost, crashPoint });
  const notes = describeRepair({ plan, files, damage, keptIn });
  const { lost, givenUp } = plan;
  const lastSeq = plan.lastSeq + 1;
  const firstSeq = plan.horizon.horizonSeq + 1;
  options.logger.warn({ lastSeq, lost, givenUp, keptIn }, 'the log was repaired');
  return { status: 'repaired', lastSeq, lost, firstSeq, givenUp, keptIn, notes };
}

function clockOf({ clock }: RepairOptions): () => number {
  return clock?.nowUs ?? ((): number => Date.now() * 1000);
}
