// A log with a bit of everything, and copies of its files after a clean end, after a crash, and
// with all of it merged into tables. What was appended is known, so every answer can be compared.
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { StoredEvent } from '../../src/machines/kernel/envelope.ts';
import { contentEndOf, readLogRecords } from '../../src/adapters/level/write-ahead-log.ts';
import { EventNumbers, readAll } from './events.ts';
import { openSound, scratchRoot } from './opened-store.ts';

export type Ending = 'clean' | 'crash' | 'tables';
export const endings: readonly Ending[] = ['clean', 'crash', 'tables'];

/** Whether all history is there, or the older part was compacted away but for streams that live. */
export type Past = 'whole' | 'compacted';
export const pasts: readonly Past[] = ['whole', 'compacted'];

export interface Fixture {
  /** A directory with the root as it was after each ending: `<ending>`. */
  readonly path: string;
  /** All events in the log, by position; of compacted history those that were kept. */
  readonly events: readonly StoredEvent[];
  /** Events that were compacted away. */
  readonly compacted: readonly StoredEvent[];
  readonly streams: readonly string[];
  readonly horizonSeq: number;
  readonly lastSeq: number;
  /** Positions of the older and the newest checkpoint. */
  readonly checkpointSeqs: readonly [number, number];
}

const streamCount = 9;

/** Batches of one to four events over nine streams and the node's. */
function someBatches(numbers: EventNumbers, count: number): ReturnType<EventNumbers['batch']>[] {
  return Array.from({ length: count }, (_, index) =>
    numbers.batch(
      Array.from({ length: 1 + (index % 4) }, (_, part) =>
        (index + part) % 7 === 0 ? 'node' : `snapshot-${1 + ((index * 3 + part) % streamCount)}`,
      ),
    ),
  );
}

export async function makeFixture(past: Past): Promise<Fixture> {
  const path = scratchRoot();
  const root = join(path, 'live');
  const numbers = new EventNumbers();
  const streams = Array.from({ length: streamCount }, (_, index) => `snapshot-${index + 1}`);
  const fill = async (batchCount: number): Promise<void> => {
    for (const batch of someBatches(numbers, batchCount)) {
      await store.append(batch);
    }
  };
  let { store } = (await openSound(root)).opened;
  let horizonSeq = 0;
  let compacted: StoredEvent[] = [];
  if (past === 'compacted') {
    const ended = ['snapshot-21', 'snapshot-22'];
    await store.append(numbers.batch([...ended, 'snapshot-1', 'snapshot-2', 'node']));
    await fill(9);
    await store.append(numbers.ends(ended));
    horizonSeq = numbers.lastSeq;
    compacted = (await readAll(store)).filter(({ stream }) => !streams.includes(stream));
    await store.compact(numbers.checkpoint(streams), new Set(streams));
  }
  await fill(12);
  await store.writeCheckpoint(numbers.checkpoint(streams));
  const older = numbers.lastSeq;
  await fill(8);
  await store.close();
  // Opening puts what the write-ahead log held into a table.
  ({ store } = (await openSound(root)).opened);
  await fill(10);
  await store.writeCheckpoint(numbers.checkpoint(streams));
  const newest = numbers.lastSeq;
  await fill(14);
  const kept = past === 'compacted' ? streams : [];
  const events = (
    await Promise.all([
      readAll(store),
      ...kept.map((stream) => readAll(store, { stream, toSeq: horizonSeq })),
    ])
  ).flat();
  events.sort((a, b) => a.globalSeq - b.globalSeq);
  cpSync(root, join(path, 'crash'), { recursive: true });
  await store.close();
  cpSync(root, join(path, 'clean'), { recursive: true });
  await (await openSound(root)).opened.store.close();
  await (await openSound(root)).opened.store.close();
  cpSync(root, join(path, 'tables'), { recursive: true });
  const { lastSeq } = numbers;
  const checkpointSeqs = [older, newest] as const;
  const all = { events, compacted, streams: ['node', ...streams] };
  return { path, ...all, horizonSeq, lastSeq, checkpointSeqs };
}

export type Mutation =
  | { readonly kind: 'truncate'; readonly file: string; readonly lengthBytes: number }
  | { readonly kind: 'flip'; readonly file: string; readonly offset: number; readonly bit: number }
  | { readonly kind: 'delete'; readonly file: string };

export interface Case {
  readonly ending: Ending;
  readonly mutation: Mutation;
}

export function describeCase({ ending, mutation }: Case): string {
  const { kind, file } = mutation;
  const where =
    kind === 'truncate'
      ? ` to ${mutation.lengthBytes}`
      : kind === 'flip'
        ? ` byte ${mutation.offset} bit ${mutation.bit}`
        : '';
  return `${ending}: ${kind} ${file}${where}`;
}

function storeFiles(root: string): string[] {
  const names = readdirSync(join(root, 'log'))
    .filter((name) => /\.(log|ldb)$|^MANIFEST-|^CURRENT$/.test(name))
    .map((name) => join(root, 'log', name));
  return [...names, join(root, 'log.tip'), join(root, 'log.export')].map((p) => relative(root, p));
}

const strideBytes = 32;

/**
 * Every record boundary of files that have records, every stride of the others; a flip in every
 * stride.
 */
export function allCases(fixture: Fixture): Case[] {
  const cases: Case[] = [];
  for (const ending of endings) {
    const root = join(fixture.path, ending);
    for (const file of storeFiles(root)) {
      const content = readFileSync(join(root, file));
      const hasRecords = /\.log$|MANIFEST-/.test(file);
      const cuts = hasRecords
        ? readLogRecords(content).boundaries.flatMap((at) => [at, at + 7, at + 9])
        : Array.from({ length: Math.ceil(content.length / 512) }, (_, index) => index * 512 + 1);
      for (const lengthBytes of new Set([0, ...cuts, content.length - 1])) {
        if (lengthBytes >= 0 && lengthBytes < content.length) {
          cases.push({ ending, mutation: { kind: 'truncate', file, lengthBytes } });
        }
      }
      // Of the zeros at the end of a log the first few strides stand for all.
      const flipsEnd = Math.min(contentEndOf(content) + 8 * strideBytes, content.length);
      for (let start = 0; start < flipsEnd; start += strideBytes) {
        const offset = Math.min(start + ((start / strideBytes) % strideBytes), content.length - 1);
        cases.push({ ending, mutation: { kind: 'flip', file, offset, bit: (start / 32) % 8 } });
      }
      cases.push({ ending, mutation: { kind: 'delete', file } });
    }
  }
  return cases;
}
