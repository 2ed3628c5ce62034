// What an opening proves. From the newest checkpoint that holds to the end: every position present,
// every checksum and hash right, every chain unbroken, every batch whole, every index entry in
// place, and the end not below the tip. When there is reason for doubt, everything before the
// checkpoint too: damage there does not stop the service, but the evidence for repair is then kept.
import type { Damage, Logger, SeqRange } from '../../engine/ports.ts';
import type { CheckpointRecord, StreamHeads } from './checkpoint-record.ts';
import { BatchCheck } from './batch-check.ts';
import { checkpointSeqs, loadCheckpoint } from './checkpoint-table.ts';
import type { Database } from './database.ts';
import { decodeBatch, decodeEvent, zeroHash } from './event-record.ts';
import type { StoreStart } from './event-store.ts';
import { walk } from './event-slots.ts';
import { readExport } from './export-file.ts';
import { Findings, type Found } from './findings.ts';
import type { Horizon } from './horizon.ts';
import { loadHorizon, noHorizon, resumedAtSeq } from './horizon.ts';
import { batchKey, parseKey } from './keys.ts';
import type { LogPaths } from './log-paths.ts';
import { noLosses } from './losses.ts';
import { checkIndex, scrubLog } from './scrub.ts';
import type { Tip, TipFile } from './tip-file.ts';

export interface VerifyOptions {
  readonly paths: LogPaths;
  readonly tip: TipFile;
  readonly logger: Logger;
  /** Whether history before the checkpoint must be verified as well. */
  readonly isInDoubt: boolean;
}

export interface Verified {
  readonly start: Omit<StoreStart, 'damage'>;
  /** Damage after the checkpoint, or of what the log needs to go on: it must be repaired. */
  readonly damage: readonly Damage[];
  /** Whether everything after the checkpoint is whole, and the end is where the tip says. */
  readonly isTailWhole: boolean;
  /** Damage before the checkpoint, as far as it was looked for. */
  readonly historyDamage: readonly Damage[];
}

/**
 * The last position with a value that holds: a key that a flipped bit made must not stretch the
 * log.
 */
export async function lastSeqOf(database: Database, prefix: 'e' | 'b'): Promise<number> {
  const iterator = database.iterator({ gt: prefix + '!', lt: prefix + '"', reverse: true });
  try {
    for await (const [key, value] of iterator) {
      const parsed = parseKey(key);
      if (parsed?.kind === 'event' && decodeEvent(parsed.seq, value) !== undefined) {
        return parsed.seq;
      }
      if (parsed?.kind === 'batch' && decodeBatch(parsed.seq, value) !== undefined) {
        return parsed.seq;
      }
    }
  } catch {
    // LevelDB found a block unreadable: the tip and the other table bound the end from below.
  }
  return 0;
}

async function findBase(
  database: Database,
  options: VerifyOptions,
): Promise<{ base: CheckpointRecord | undefined; isExported: boolean }> {
  const exported = await readExport(options.paths.export);
  for (const seq of await checkpointSeqs(database)) {
    if (exported !== undefined && exported.checkpoint.globalSeq > seq) {
      break;
    }
    const base = await loadCheckpoint(database, seq);
    if (base !== undefined) {
      return { base, isExported: false };
    }
    options.logger.warn({ globalSeq: seq }, 'a checkpoint does not check out and is passed over');
  }
  return { base: exported, isExported: exported !== undefined };
}

function storedTip(options: VerifyOptions): Tip | undefined {
  const tip = options.tip.read();
  if (tip === 'damaged') {
    options.logger.warn({ path: options.paths.tip }, 'the tip is unreadable and proves nothing');
    return undefined;
  }
  return tip;
}

async function verifyTail(
  database: Database,
  range: SeqRange,
  heads: StreamHeads,
): Promise<{ found: Findings; batchHash: string }> {
  const found = new Findings();
  const snapshot = database.snapshot();
  const batches = new BatchCheck(database, range, snapshot);
  try {
    const headsAreComplete = range.fromSeq === 1;
    const walked = { ...range, snapshot, heads, headsAreComplete, losses: noLosses };
    for await (const piece of walk(database, walked)) {
      if (piece.kind === 'damage') {
        found.add(piece);
      } else {
        found.addAll(await checkIndex(database, piece.events, snapshot));
      }
      found.addAll(await batches.check(piece));
    }
    const value = await database.get(batchKey(range.toSeq)).catch(() => undefined);
    const batchHash = decodeBatch(range.toSeq, value)?.hash ?? batches.last?.hash ?? zeroHash;
    return { found, batchHash };
  } finally {
    await batches.close();
    await snapshot.close();
  }
}

async function tipProblem(
  database: Database,
  tip: Tip | undefined,
  horizonSeq: number,
): Promise<Found | undefined> {
  if (tip === undefined || tip.lastSeq <= horizonSeq || tip.lastSeq === 0) {
    return undefined;
  }
  const value = await database.get(batchKey(tip.lastSeq)).catch(() => undefined);
  const record = decodeBatch(tip.lastSeq, value);
  return record === undefined || record.hash === tip.batchHash
    ? undefined
    : { fromSeq: record.firstSeq, toSeq: tip.lastSeq, reason: 'not the batch that the tip names' };
}

async function readHorizon(
  database: Database,
  base: CheckpointRecord | undefined,
): Promise<{ horizon: Horizon; found: Found[] }> {
  const stored = await loadHorizon(database);
  if (stored === 'damaged') {
    return {
      horizon: noHorizon,
      found: [{ fromSeq: 1, toSeq: 1, reason: 'the mark of the compaction horizon is damaged' }],
    };
  }
  const toSeq = resumedAtSeq(stored);
  const isBaseless = toSeq > 0 && (base?.checkpoint.globalSeq ?? 0) < toSeq;
  const reason = 'the checkpoint from which the log goes on is lost';
  return { horizon: stored, found: isBaseless ? [{ fromSeq: 1, toSeq, reason }] : [] };
}

export async function verifyLog(database: Database, options: VerifyOptions): Promise<Verified> {
  const { base, isExported } = await findBase(database, options);
  const { horizon, found } = await readHorizon(database, base);
  const tip = storedTip(options);
  const baseSeq = Math.max(base?.checkpoint.globalSeq ?? 0, horizon.horizonSeq);
  const lastSeq = Math.max(
    await lastSeqOf(database, 'e'),
    await lastSeqOf(database, 'b'),
    tip?.lastSeq ?? 0,
    baseSeq,
  );
  const heads: StreamHeads = new Map(base?.heads);
  const tail = await verifyTail(database, { fromSeq: baseSeq + 1, toSeq: lastSeq }, heads);
  const tipFound = await tipProblem(database, tip, horizon.horizonSeq);
  const isTailWhole = tail.found.isEmpty && tipFound === undefined;
  tail.found.addAll(found);
  if (tipFound !== undefined) {
    tail.found.add(tipFound);
  }
  const damage = await tail.found.described(database);
  const history = { range: { fromSeq: 1, toSeq: baseSeq }, horizon, pace: 'full' } as const;
  const { signal } = new AbortController();
  const historyDamage = options.isInDoubt ? await scrubLog(database, { ...history, signal }) : [];
  for (const each of [...damage, ...historyDamage]) {
    options.logger.error(
      { damage: each },
      'the log is damaged: stop varve serve, run varve repair',
    );
  }
  const { batchHash } = tail;
  const exported = isExported ? base : undefined;
  const start = { lastSeq, batchHash, heads, horizon, exported };
  return { start, damage, isTailWhole, historyDamage };
}
