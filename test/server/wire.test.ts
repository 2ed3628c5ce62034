// What a client of the Snapshots service sees of calls that succeed: messages, batches, labels,
// kinds, times, and what each call leaves in the log.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import { servedNode } from './served-node.ts';

const info = { name: '', parent: '', kind: 0, labels: {} };

test('List of nothing is an empty stream', async (t) => {
  const { snapshots: client } = await servedNode(t);
  const reply = await client.all(snapshots.list, {});
  assert.deepEqual([reply.code, reply.messages], [status.OK, []]);
});

test('List sends 250 snapshots in three messages', async (t) => {
  const { snapshots: client } = await servedNode(t);
  const keys = Array.from({ length: 250 }, (_, index) => `k${String(index).padStart(3, '0')}`);
  await Promise.all(keys.map((key) => client.call(snapshots.prepare, { key })));
  const { messages } = await client.all(snapshots.list, {});
  assert.deepEqual(
    messages.map((message) => message.info?.length),
    [100, 100, 50],
  );
  assert.deepEqual(
    messages.flatMap((message) => message.info?.map(({ name }) => name)),
    keys,
  );
});

test('List sends snapshots with many labels in messages that every client takes', async (t) => {
  const { snapshots: client } = await servedNode(t);
  const labels = Object.fromEntries(
    Array.from({ length: 130 }, (_, index) => [`label-${index}`, 'x'.repeat(4000)]),
  );
  const keys = Array.from({ length: 12 }, (_, index) => `k${String(index).padStart(3, '0')}`);
  for (const key of keys) await client.call(snapshots.prepare, { key, labels });
  const { code, messages } = await client.all(snapshots.list, {});
  assert.equal(code, status.OK);
  const sizesBytes = messages.map((message) => snapshots.list.responseSerialize(message).length);
  assert.ok(Math.max(...sizesBytes) < 1.5 * 1024 * 1024, sizesBytes.join(' '));
  assert.deepEqual(
    messages.flatMap((message) => message.info?.map(({ name }) => name)),
    keys,
  );
});

test('List takes an invalid regular expression for one that matches nothing, and logs it', async (t) => {
  const { snapshots: client, lines } = await servedNode(t);
  await client.call(snapshots.prepare, { key: 'k' });
  const reply = await client.all(snapshots.list, { filters: ['name~="("'] });
  assert.deepEqual([reply.code, reply.messages], [status.OK, []]);
  const line = lines.find(({ message }) => message.includes('invalid regular expression'));
  assert.deepEqual([line?.level, line?.fields], ['info', { expression: '(' }]);
});

test('List finds a snapshot by its reference and its exact parent', async (t) => {
  const { snapshots: client } = await servedNode(t);
  const reference = { 'containerd.io/snapshot.ref': 'sha256:abc' };
  await client.call(snapshots.prepare, { key: 'default/1/extract-1 x' });
  await client.call(snapshots.commit, { key: 'default/1/extract-1 x', name: 'base' });
  await client.call(snapshots.prepare, { key: 'second', parent: 'base' });
  await client.call(snapshots.commit, { key: 'second', name: 'layer', labels: reference });
  const filter = (parent: string): string =>
    `labels."containerd.io/snapshot.ref"==sha256:abc,parent=="${parent}"`;
  const found = await client.all(snapshots.list, { filters: [filter('base')] });
  assert.deepEqual(
    found.messages.flatMap((message) => message.info?.map(({ name }) => name)),
    ['layer'],
  );
  const other = await client.all(snapshots.list, { filters: [filter('')] });
  assert.deepEqual(other.messages, []);
});

test('a snapshot keeps its kind, parent, labels and times', async (t) => {
  const { snapshots: client } = await servedNode(t);
  const before = Date.now();
  const labels = { 'containerd.io/snapshot/a': 'b', empty: '' };
  await client.call(snapshots.prepare, { key: 'active', labels });
  const active = (await client.call(snapshots.stat, { key: 'active' })).value?.info;
  assert.deepEqual(
    { ...info, ...active, createdAt: 0, updatedAt: 0 },
    {
      ...{ name: 'active', parent: '', kind: 2, createdAt: 0, updatedAt: 0 },
      labels: { 'containerd.io/snapshot/a': 'b' },
    },
  );
  const createdMs =
    Number(active?.createdAt?.seconds) * 1000 + Number(active?.createdAt?.nanos) / 1e6;
  assert.ok(createdMs >= before - 1 && createdMs <= Date.now() + 1, String(createdMs));
  assert.deepEqual(active?.createdAt, active?.updatedAt);

  await client.call(snapshots.commit, { key: 'active', name: 'layer' });
  await client.call(snapshots.view, { key: 'view', parent: 'layer' });
  const layer = (await client.call(snapshots.stat, { key: 'layer' })).value?.info;
  const view = (await client.call(snapshots.stat, { key: 'view' })).value?.info;
  assert.deepEqual([layer?.kind, layer?.labels], [3, {}]);
  assert.deepEqual([view?.kind, view?.parent], [1, 'layer']);
  assert.equal((await client.call(snapshots.stat, { key: 'active' })).code, status.NOT_FOUND);
});

test('Update changes what its mask names and answers the result', async (t) => {
  const { snapshots: client } = await servedNode(t);
  await client.call(snapshots.prepare, { key: 'k', labels: { a: '1', b: '2', 'c.d/e': '3' } });
  const update = async (labels: Record<string, string>, paths: string[]): Promise<unknown> => {
    const request = { info: { name: 'k', labels }, updateMask: { paths } };
    const { value, details } = await client.call(snapshots.update, request);
    return value?.info?.labels ?? details;
  };
  assert.deepEqual(await update({ a: '9' }, ['labels.a']), { a: '9', b: '2', 'c.d/e': '3' });
  assert.deepEqual(await update({}, ['labels.b']), { a: '9', 'c.d/e': '3' });
  assert.deepEqual(await update({ 'c.d/e': '' }, ['labels.c.d/e']), { a: '9' });
  assert.deepEqual(await update({ x: 'y', z: '' }, ['labels']), { x: 'y' });
  assert.deepEqual(await update({ n: 'm' }, []), { n: 'm' });
  assert.deepEqual(await update({}, []), {});
});

test('a label may have any name, __proto__ too, and pollutes nothing', async (t) => {
  const { snapshots: client } = await servedNode(t);
  const labels = JSON.parse('{"__proto__":"p","constructor":"c","toString":"s"}') as Record<
    string,
    string
  >;
  await client.call(snapshots.prepare, { key: 'k', labels });
  const stored = (await client.call(snapshots.stat, { key: 'k' })).value?.info?.labels ?? {};
  assert.deepEqual(Object.entries(stored).sort(), Object.entries(labels).sort());
  assert.equal(({} as Record<string, unknown>)['p'], undefined);
  const update = { info: { name: 'k', labels: {} }, updateMask: { paths: ['labels.__proto__'] } };
  const updated = (await client.call(snapshots.update, update)).value?.info?.labels ?? {};
  assert.deepEqual(Object.keys(updated).sort(), ['constructor', 'toString']);
  const listed = await client.all(snapshots.list, { filters: ['labels.hasOwnProperty'] });
  assert.deepEqual(listed.messages, []);
});

test('keys are opaque: slashes, dots, spaces and other scripts name no path', async (t) => {
  const { snapshots: client } = await servedNode(t);
  const paths = ['../../etc/passwd', '/', '.', 'default/14//mnt'];
  const keys = [...paths, 'a b\tc\n', 'ключ 🗝', '-rf', '#1'];
  for (const key of keys) {
    const { value, details } = await client.call(snapshots.prepare, { key });
    assert.match(value?.mounts?.[0]?.source ?? details, /\/snapshots\/\d+\/fs$/);
    assert.equal((await client.call(snapshots.stat, { key })).value?.info?.name, key);
  }
});

test('every call is recorded with its request id and the caller’s namespace', async (t) => {
  const node = await servedNode(t);
  const metadata = { 'containerd-namespace': 'k8s.io' };
  await node.snapshots.call(snapshots.prepare, { key: 'k' }, { metadata });
  const event = node.store.events.find(({ type }) => type === 'SnapshotPrepared');
  const { requestId, ...cause } = event?.cause ?? { kind: 'rpc' };
  assert.deepEqual(cause, { kind: 'rpc', method: 'Prepare', namespace: 'k8s.io' });
  assert.match(requestId ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  const line = node.lines.find(({ message }) => message === 'Prepare OK');
  assert.equal(line?.fields['requestId'], requestId);
  assert.deepEqual([line?.fields['key'], line?.fields['status']], ['k', 'OK']);
});

test('Cleanup of an empty store succeeds', async (t) => {
  const { snapshots: client } = await servedNode(t);
  assert.equal((await client.call(snapshots.cleanup, {})).code, status.OK);
});
