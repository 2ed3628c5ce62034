// varve.v1.EventLog over a real socket: ranges and filters, following, resuming, and its limits.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { status, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import {
  controlDefinition as control,
  eventLogDefinition as eventLog,
  inspectDefinition as inspect,
  snapshotsDefinition as snapshots,
} from '../../src/server/grpc/definitions.ts';
import type { varve } from '../../src/server/grpc/messages.ts';
import { servedNode, type ServedNode } from './served-node.ts';

type WatchResponse = varve.v1.WatchResponse.$Properties;

/** NodeStarted, IdsReserved, then one SnapshotPrepared for each key. */
async function withSnapshots(t: TestContext, keys: readonly string[]): Promise<ServedNode> {
  const node = await servedNode(t);
  for (const key of keys) await node.snapshots.call(snapshots.prepare, { key });
  return node;
}

/** What a gRPC client takes in one message by default. */
const grpcMessageBytesMax = 4 * 1024 * 1024;

/** Snapshots of 240 kB: 50 are more than all buffers on the way to one who does not read. */
async function prepareLarge(node: ServedNode, count: number): Promise<void> {
  const labels = Object.fromEntries(
    Array.from({ length: 60 }, (_, index) => [`label-${index}`, 'é'.repeat(2000)]),
  );
  for (let index = 0; index < count; index += 1) {
    await node.snapshots.call(snapshots.prepare, { key: `k${index}`, labels });
  }
}

const seqs = (events: readonly varve.v1.Event.$Properties[]): (number | null | undefined)[] =>
  events.map(({ globalSeq }) => globalSeq);

/** The messages of a Watch, one by one, and how it ended. */
class Watch {
  readonly stream: ClientReadableStream<WatchResponse>;
  readonly ended: Promise<ServiceError>;
  readonly #messages: AsyncIterator<WatchResponse>;

  constructor(t: TestContext, node: ServedNode, request: varve.v1.WatchRequest.$Properties) {
    this.stream = node.admin.open(eventLog.watch, request);
    this.ended = once(this.stream, 'error').then(([error]) => error as ServiceError);
    this.#messages = this.#iterate();
    t.after(() => this.stream.cancel());
  }

  async *#iterate(): AsyncGenerator<WatchResponse> {
    try {
      for await (const message of this.stream) yield message as WatchResponse;
    } catch {
      // How it ended is told by `ended`.
    }
  }

  async next(): Promise<WatchResponse> {
    const { value, done } = (await this.#messages.next()) as IteratorResult<
      WatchResponse,
      undefined
    >;
    if (done === true) throw new Error(`the Watch ended: ${(await this.ended).details}`);
    return value;
  }

  /** The next event's position; undefined at the end. */
  async nextSeq(): Promise<number | null | undefined> {
    const { value, done } = (await this.#messages.next()) as IteratorResult<
      WatchResponse,
      undefined
    >;
    return done === true ? undefined : value.event?.globalSeq;
  }

  /** What still comes, until the end. */
  async *rest(): AsyncGenerator<WatchResponse> {
    for (;;) {
      const next = (await this.#messages.next()) as IteratorResult<WatchResponse, undefined>;
      if (next.done === true) return;
      yield next.value;
    }
  }

  /** The initial state, joined. */
  async nextState(): Promise<{ globalSeq: unknown; parts: number; text: string }> {
    const contents: Uint8Array[] = [];
    for (;;) {
      const { initialState } = await this.next();
      assert.ok(initialState, 'the initial state comes first, and at once');
      const { globalSeq, content, isLast } = initialState;
      contents.push(content ?? new Uint8Array());
      if (isLast !== true) continue;
      return { globalSeq, parts: contents.length, text: Buffer.concat(contents).toString() };
    }
  }

  async nextEvent(): Promise<varve.v1.Event.$Properties> {
    for (;;) {
      const { event } = await this.next();
      if (event !== null && event !== undefined) return event;
    }
  }
}

test('Read answers a range, filters by stream and type, and stops at the limit', async (t) => {
  const { admin, store } = await withSnapshots(t, ['a', 'b', 'c']);
  const read = async (request: varve.v1.ReadRequest.$Properties): Promise<unknown[]> => {
    const { messages } = await admin.all(eventLog.read, request);
    return seqs(messages.flatMap(({ events }) => events ?? []));
  };
  const all = store.events.map(({ globalSeq }) => globalSeq);
  const prepared = store.events.filter(({ type }) => type === 'SnapshotPrepared');
  const preparedSeqs = prepared.map(({ globalSeq }) => globalSeq);
  const stream = prepared[1]?.stream ?? '';
  assert.deepEqual(await read({}), all);
  assert.deepEqual(await read({ fromSeq: 2, toSeq: 3 }), [2, 3]);
  assert.deepEqual(await read({ limit: 2 }), [1, 2]);
  assert.deepEqual(await read({ filter: { types: ['SnapshotPrepared'] } }), preparedSeqs);
  assert.deepEqual(await read({ filter: { streams: ['snapshot-*'] } }), preparedSeqs);
  assert.deepEqual(await read({ filter: { streams: [stream] } }), [preparedSeqs[1]]);
  assert.deepEqual(await read({ fromSeq: all.length + 10 }), []);
});

test('Read refuses what is no position, and history that was compacted away', async (t) => {
  const { admin, store } = await withSnapshots(t, ['a', 'b']);
  const code = async (request: varve.v1.ReadRequest.$Properties): Promise<string | undefined> =>
    status[(await admin.all(eventLog.read, request)).code];
  assert.equal(await code({ fromSeq: 2 ** 53 }), 'INVALID_ARGUMENT');
  assert.equal(await code({ fromSeq: 3, toSeq: 2 }), 'INVALID_ARGUMENT');
  const compacted = await admin.call(control.compact, { throughSeq: 2 });
  assert.deepEqual([compacted.details, compacted.value?.horizonSeq], ['', 2]);
  assert.equal(await code({ fromSeq: 1 }), 'OUT_OF_RANGE');
  assert.equal(await code({}), 'OK');
  assert.equal(store.firstSeq, 3);
  const live = store.events.find(({ type }) => type === 'SnapshotPrepared')?.stream ?? '';
  for (const streams of [[live], ['snapshot-99'], [live, 'snapshot-99'], ['snapshot-*']]) {
    assert.equal(await code({ fromSeq: 2, filter: { streams } }), 'OUT_OF_RANGE');
  }
  assert.equal(await code({ fromSeq: 3, filter: { streams: [live] } }), 'OK');
  const beyond = await admin.call(control.compact, { throughSeq: 1000 });
  assert.equal(status[beyond.code], 'OUT_OF_RANGE');
});

test('Read answers what is whole and then DATA_LOSS where the log is damaged', async (t) => {
  const { admin, store } = await withSnapshots(t, ['a', 'b', 'c']);
  store.damage = { fromSeq: 3, toSeq: 4, reason: 'checksum', streams: ['snapshot-1'] };
  const reply = await admin.all(eventLog.read, {});
  assert.equal(status[reply.code], 'DATA_LOSS');
  assert.match(reply.details, /3 to 4.*checksum.*varve repair/);
  assert.deepEqual(seqs(reply.messages.flatMap(({ events }) => events ?? [])), [1, 2]);
  const after = await admin.all(eventLog.read, { fromSeq: 5 });
  assert.equal(status[after.code], 'OK');
});

test('Watch follows from a position, and a new one resumes after any event seen', async (t) => {
  const node = await withSnapshots(t, ['a', 'b']);
  const first = new Watch(t, node, { afterSeq: 1 });
  const seen = [await first.nextEvent(), await first.nextEvent()];
  assert.deepEqual(seqs(seen), [2, 3]);
  first.stream.cancel();

  const second = new Watch(t, node, { afterSeq: Number(seen[1]?.globalSeq) });
  assert.deepEqual(seqs([await second.nextEvent()]), [4]);
  const waiting = second.nextEvent();
  await node.snapshots.call(snapshots.prepare, { key: 'later' });
  const event = await waiting;
  assert.equal(event.globalSeq, 5);
  assert.equal((JSON.parse(event.dataJson ?? '') as { key: string }).key, 'later');
});

test('Watch from 0 begins with the first available event', async (t) => {
  const node = await withSnapshots(t, ['a', 'b']);
  await node.admin.call(control.compact, { throughSeq: 2 });
  const watch = new Watch(t, node, { afterSeq: 0 });
  assert.equal((await watch.nextEvent()).globalSeq, 3);
});

test('Watch with the initial state sends it first and follows from there', async (t) => {
  const node = await withSnapshots(t, ['a', 'b']);
  const watch = new Watch(t, node, { initialState: true });
  const { globalSeq, parts, text } = await watch.nextState();
  assert.deepEqual([globalSeq, parts], [node.store.lastSeq, 1]);
  assert.deepEqual(
    (JSON.parse(text) as { snapshots: { key: string }[] }).snapshots.map(({ key }) => key),
    ['a', 'b'],
  );
  assert.equal(
    text,
    await node.admin.text(inspect.state, {}),
    'the same document as State answers',
  );
  const waiting = watch.nextEvent();
  await node.snapshots.call(snapshots.remove, { key: 'a' });
  assert.equal((await waiting).type, 'SnapshotRemoveStarted');
});

test('an initial state of any size comes in parts, to a client of ordinary limits', async (t) => {
  const node = await servedNode(t);
  await prepareLarge(node, 24);
  const watch = new Watch(t, node, { initialState: true });
  const { globalSeq, parts, text } = await watch.nextState();
  assert.ok(Buffer.byteLength(text) > grpcMessageBytesMax, 'larger than one message may be');
  assert.ok(parts > 10, `${parts} parts`);
  assert.equal(globalSeq, node.store.lastSeq);
  assert.equal((JSON.parse(text) as { snapshots: unknown[] }).snapshots.length, 24);
  assert.equal(
    text,
    await node.admin.text(inspect.state, {}),
    'the same document as State answers',
  );
});

test('a Watch that does not take its initial state is cut off within it', async (t) => {
  const node = await servedNode(t, { clock: { afterScale: 0.2 } });
  await prepareLarge(node, 50);
  const watch = new Watch(t, node, { initialState: true });
  const first = await watch.next();
  let takenBytes = first.initialState?.content?.length ?? 0;
  await node.says('Watch RESOURCE_EXHAUSTED');
  for await (const { initialState } of watch.rest()) {
    takenBytes += initialState?.content?.length ?? 0;
    assert.notEqual(initialState?.isLast, true);
  }
  const ended = await watch.ended;
  assert.equal(status[ended.code], 'RESOURCE_EXHAUSTED');
  assert.match(ended.details, /begin again with initial_state$/);
  assert.deepEqual(ended.metadata.get('varve-resume-after'), [], 'there is no position yet');
  const wholeBytes = Buffer.byteLength(await node.admin.text(inspect.state, {}));
  assert.ok(takenBytes < wholeBytes / 2, `${takenBytes} of ${wholeBytes} bytes were on their way`);
});

test('Read of one stream tells also what compaction has kept of it', async (t) => {
  const { admin, store } = await withSnapshots(t, ['a', 'b']);
  await admin.call(control.compact, { throughSeq: 4 });
  const stream = store.events.find(({ type }) => type === 'SnapshotPrepared')?.stream ?? '';
  const { messages } = await admin.all(eventLog.read, { filter: { streams: [stream] } });
  assert.deepEqual(seqs(messages.flatMap(({ events }) => events ?? [])), [3]);
});

test('Watch of a stream that is gone reads each event of the log once', async (t) => {
  const node = await withSnapshots(t, ['a']);
  const filter = { streams: ['snapshot-99999'] };
  const watch = new Watch(t, node, { bookmarkIntervalMs: 100, filter });
  await watch.next();
  const reads = t.mock.method(node.store, 'read');
  const from = node.store.lastSeq + 1;
  for (const key of ['b', 'c', 'd']) await node.snapshots.call(snapshots.prepare, { key });
  while ((await watch.next()).bookmark?.globalSeq !== node.store.lastSeq);
  let next = from;
  for (const { arguments: given } of reads.mock.calls) {
    assert.equal(given[0]?.stream, undefined, 'the end of this stream lies nowhere in its index');
    assert.equal(given[0]?.fromSeq, next);
    next = (given[0]?.toSeq ?? 0) + 1;
  }
  assert.equal(next, node.store.lastSeq + 1);
});

test('Watch in which nothing matches sends bookmarks to resume after', async (t) => {
  const node = await withSnapshots(t, ['a']);
  const filter = { types: ['LogRepaired'] };
  const watch = new Watch(t, node, { bookmarkIntervalMs: 100, filter });
  assert.equal((await watch.next()).bookmark?.globalSeq, node.store.lastSeq);
  await node.snapshots.call(snapshots.prepare, { key: 'b' });
  let bookmark = (await watch.next()).bookmark?.globalSeq;
  while (bookmark !== node.store.lastSeq) bookmark = (await watch.next()).bookmark?.globalSeq;
});

test('Watch after a compacted position, or after the end, is OUT_OF_RANGE', async (t) => {
  const node = await withSnapshots(t, ['a', 'b', 'c']);
  await node.admin.call(control.compact, { throughSeq: 3 });
  const compacted = await new Watch(t, node, { afterSeq: 2 }).ended;
  assert.equal(status[compacted.code], 'OUT_OF_RANGE');
  assert.match(compacted.details, /begins at 4/);
  const beyond = await new Watch(t, node, { afterSeq: 1000 }).ended;
  assert.equal(status[beyond.code], 'OUT_OF_RANGE');
  assert.match(beyond.details, /initial_state/);
});

test('Watch ends with its position when the server stops', async (t) => {
  const node = await withSnapshots(t, ['a']);
  const watch = new Watch(t, node, {});
  while ((await watch.nextEvent()).globalSeq !== node.store.lastSeq);
  const resumeAfter = node.store.lastSeq;
  void node.server.stop('test');
  const ended = await watch.ended;
  assert.equal(status[ended.code], 'UNAVAILABLE');
  assert.deepEqual(ended.metadata.get('varve-resume-after'), [String(resumeAfter)]);
});

test('a Watch that takes nothing is cut off, and its position resumes without loss', async (t) => {
  const node = await servedNode(t, { clock: { afterScale: 0.05 } });
  await prepareLarge(node, 50);
  const watch = new Watch(t, node, {});
  const seen: unknown[] = [await watch.nextSeq()];
  await node.says('Watch RESOURCE_EXHAUSTED');

  for (let seq = await watch.nextSeq(); seq !== undefined; seq = await watch.nextSeq()) {
    seen.push(seq);
  }
  const ended = await watch.ended;
  assert.equal(status[ended.code], 'RESOURCE_EXHAUSTED');
  const resumeAfter = Number(ended.metadata.get('varve-resume-after')[0]);
  assert.match(ended.details, new RegExp(`resume after ${resumeAfter}$`));
  assert.equal(seen.at(-1), resumeAfter, 'all up to the position was delivered');
  assert.ok(resumeAfter < node.store.lastSeq, 'it was cut off before the end');
  assert.deepEqual(
    seen,
    Array.from({ length: resumeAfter }, (_, index) => index + 1),
  );

  const resumed = new Watch(t, node, { afterSeq: resumeAfter });
  assert.equal((await resumed.nextEvent()).globalSeq, resumeAfter + 1);
});
