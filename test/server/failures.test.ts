// The part of the gRPC error table that the caller did not bring about: failed effects, a full
// disk, crowds, passed deadlines, a server that stops.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import type { DirectoryOperations } from '../../src/adapters/snapshot-dirs/directories.ts';
import { waiterCountMax } from '../../src/engine/limits.ts';
import { LogFailure } from '../../src/engine/ports.ts';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import type { Reply } from './client.ts';
import { servedNode, type ServedNode, type ServedNodeOptions } from './served-node.ts';

const failed = (step: string, code: string) =>
  Promise.resolve({
    ok: false as const,
    failure: { step, code, message: 'the disk said so', path: '/disk/1' },
  });

interface Row {
  readonly name: string;
  readonly operations: Partial<DirectoryOperations>;
  readonly call: (node: ServedNode) => Promise<Reply<unknown>>;
  readonly code: status;
  readonly says: RegExp;
}

const prepare = ({ snapshots: client }: ServedNode) => client.call(snapshots.prepare, { key: 'k' });

async function prepareAnd(node: ServedNode, method: 'usage' | 'commit'): Promise<Reply<unknown>> {
  assert.equal((await prepare(node)).code, status.OK);
  return method === 'usage'
    ? node.snapshots.call(snapshots.usage, { key: 'k' })
    : node.snapshots.call(snapshots.commit, { key: 'k', name: 'n' });
}

const { UNKNOWN, RESOURCE_EXHAUSTED, UNAVAILABLE, FAILED_PRECONDITION } = status;

/** The same for whoever asks. */
const measuring = (
  measure: DirectoryOperations['diskUsage']['commit'],
): DirectoryOperations['diskUsage'] => ({
  commit: measure,
  query: measure,
});

const rows: readonly Row[] = [
  {
    name: 'Prepare whose directory cannot be made',
    operations: { makeLayer: () => failed('mkdir', 'EIO') },
    call: prepare,
    ...{ code: UNKNOWN, says: /"k" could not be prepared: mkdir failed with EIO.*\/disk\/1/ },
  },
  {
    name: 'Prepare whose directory finds the disk full',
    operations: { makeLayer: () => failed('mkdir', 'ENOSPC') },
    call: prepare,
    ...{ code: RESOURCE_EXHAUSTED, says: /mkdir failed with ENOSPC/ },
  },
  {
    name: 'Prepare beyond the quota',
    operations: { makeLayer: () => failed('mkdir', 'EDQUOT') },
    call: prepare,
    ...{ code: RESOURCE_EXHAUSTED, says: /mkdir failed with EDQUOT/ },
  },
  {
    name: 'Commit that cannot be measured',
    operations: { diskUsage: measuring(() => failed('openat', 'EACCES')) },
    call: (node) => prepareAnd(node, 'commit'),
    ...{ code: UNKNOWN, says: /"k" could not be committed: openat failed with EACCES/ },
  },
  {
    name: 'Commit that cannot be synced',
    operations: { sync: () => failed('syncfs', 'EIO') },
    call: (node) => prepareAnd(node, 'commit'),
    ...{ code: UNKNOWN, says: /"k" could not be committed: syncfs failed with EIO/ },
  },
  {
    name: 'Commit whose measuring hangs',
    operations: { diskUsage: measuring(() => failed('deadline', 'ETIMEDOUT')) },
    call: (node) => prepareAnd(node, 'commit'),
    ...{ code: UNAVAILABLE, says: /deadline failed with ETIMEDOUT/ },
  },
  {
    name: 'Usage that cannot be measured',
    operations: { diskUsage: measuring(() => failed('openat', 'EACCES')) },
    call: (node) => prepareAnd(node, 'usage'),
    ...{ code: UNKNOWN, says: /usage of snapshot "k" .*: openat failed with EACCES/ },
  },
  {
    name: 'Cleanup that leaves a directory',
    operations: { removeTree: () => failed('unlinkat', 'EBUSY') },
    call: async (node) => {
      await prepare(node);
      await node.snapshots.call(snapshots.remove, { key: 'k' });
      return node.snapshots.call(snapshots.cleanup, {});
    },
    ...{ code: FAILED_PRECONDITION, says: /snapshot #1 remains: unlinkat .*EBUSY/ },
  },
];

for (const { name, operations, call, code, says } of rows) {
  test(`${name}: ${status[code]} with step and error`, async (t) => {
    const node = await servedNode(t, {
      operations,
      configuration: { commitSync: 'syncfs' },
      // The retry of a deletion is not what is asked about.
      clock: { afterScale: 0.1 },
    });
    const reply = await call(node);
    assert.equal(status[reply.code], status[code], reply.details);
    assert.match(reply.details, says);
  });
}

/** A node on which measuring does not end before `release`. */
async function heldNode(
  t: TestContext,
  options: ServedNodeOptions = {},
): Promise<{
  readonly node: ServedNode;
  readonly release: () => void;
  readonly held: Promise<void>;
}> {
  const held = Promise.withResolvers<undefined>();
  const usage = Promise.withResolvers<{ sizeBytes: number; inodeCount: number }>();
  const release = (): void => usage.resolve({ sizeBytes: 4096, inodeCount: 1 });
  t.after(release);
  const diskUsage = measuring(async () => {
    held.resolve(undefined);
    return { ok: true, value: await usage.promise };
  });
  const node = await servedNode(t, { ...options, operations: { diskUsage } });
  assert.equal((await prepare(node)).code, status.OK);
  return { node, release, held: held.promise };
}

test('a crowd of calls for one busy snapshot is refused beyond the limit', async (t) => {
  const { node, release, held } = await heldNode(t);
  const { snapshots: client } = node;
  const committed = client.call(snapshots.commit, { key: 'k', name: 'n' });
  await held;
  const codes: string[] = [];
  const crowd = 100;
  const refusedCount = crowd - (waiterCountMax - 1);
  const refused = Promise.withResolvers<undefined>();
  const note = ({ code, details }: Reply<unknown>): void => {
    codes.push(status[code] ?? details);
    if (codes.length === refusedCount) refused.resolve(undefined);
  };
  const update = { info: { name: 'k', labels: { a: 'b' } } };
  const updates = Array.from({ length: crowd }, () =>
    client.call(snapshots.update, update).then(note),
  );
  await refused.promise;
  assert.deepEqual(new Set(codes), new Set(['RESOURCE_EXHAUSTED']));
  const removed = await client.call(snapshots.remove, { key: 'k' });
  assert.equal(status[removed.code], status[FAILED_PRECONDITION]);
  assert.match(removed.details, /64 calls wait for snapshot "k" already/);
  release();
  assert.equal((await committed).code, status.OK);
  await Promise.all(updates);
  assert.equal(codes.filter((code) => code === 'NOT_FOUND').length, waiterCountMax - 1);
});

test('R-25: a call that passes the service’s deadline is told so, and goes on', async (t) => {
  const { node, release } = await heldNode(t, { configuration: { callDeadlineMs: 1_000 } });
  const { snapshots: client } = node;
  const late = await client.call(snapshots.commit, { key: 'k', name: 'n' });
  assert.equal(status[late.code], status[UNAVAILABLE]);
  assert.match(
    late.details,
    /Commit has not ended within 1000 ms; it goes on: the same call joins it/,
  );
  const joined = client.call(snapshots.commit, { key: 'k', name: 'n' });
  release();
  const ended = await joined;
  assert.match(`${status[ended.code]}`, /^(OK|ALREADY_EXISTS)$/, ended.details);
  assert.equal((await client.call(snapshots.stat, { key: 'n' })).code, status.OK);
});

test('a server that stops says so to calls that come, and lets those in progress end', async (t) => {
  const { node, release, held } = await heldNode(t);
  const { snapshots: client } = node;
  const usage = client.call(snapshots.usage, { key: 'k' });
  await held;
  const stopped = node.server.stop('test');
  const refused = await client.call(snapshots.stat, { key: 'k' });
  assert.equal(status[refused.code], status[UNAVAILABLE]);
  assert.match(refused.details, /stopping: call again/);
  release();
  assert.equal((await usage).code, status.OK);
  await stopped;
});

// What is awaited may never come.
const timeout = 20_000;

test(
  'a checkpoint that fails ends the process, as a failed append does',
  { timeout },
  async (t) => {
    const node = await servedNode(t, { configuration: { checkpointEveryEventCount: 1 } });
    const failure = new LogFailure('sync failed: EIO');
    node.store.checkpointFailure = failure;
    await prepare(node);
    while (node.fatal.length === 0) await new Promise(setImmediate);
    assert.equal(node.fatal[0], failure);
    node.store.checkpointFailure = undefined;
  },
);

test('with the disk full no checkpoint takes what room is left', { timeout }, async (t) => {
  const node = await servedNode(t, { configuration: { checkpointEveryEventCount: 1 } });
  const { checkpoints } = node.store;
  assert.equal((await prepare(node)).code, status.OK);
  while (checkpoints.length === 0) await new Promise(setImmediate);
  node.space.isLow = true;
  const { length } = checkpoints;
  assert.equal((await node.snapshots.call(snapshots.remove, { key: 'k' })).code, status.OK);
  assert.equal((await node.snapshots.call(snapshots.cleanup, {})).code, status.OK);
  assert.equal(checkpoints.length, length);
});
