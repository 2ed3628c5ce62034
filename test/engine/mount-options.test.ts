// Mount options that an image asks for, with which its devices are mounted for all who read them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileSystemLabel, writableLabel } from '../../src/machines/snapshot/writable.ts';
import { BlockNode, nodeWithImage } from './block-node.ts';

const noload = { [fileSystemLabel]: 'ext4;noload' };
const dir = { [writableLabel]: 'dir' };

async function nodeWithOptions(): Promise<BlockNode> {
  const node = new BlockNode();
  await node.start();
  await node.unpack('image', '', noload);
  return node;
}

test('each mount of its device has them: for a container, an operator, and after a reboot', async () => {
  const node = await nodeWithOptions();
  const expected = { deviceId: 1, options: 'noload' };
  assert.ok((await node.prepare('box', 'image')).ok);
  assert.deepEqual(node.mountedWith, [expected]);
  // What clients say of the layer afterwards changes nothing.
  const update = { name: 'image', labels: { [fileSystemLabel]: 'ext4' }, paths: [] };
  assert.ok((await node.call((engine, call) => engine.update(update, call))).ok);
  await node.reboot();
  assert.ok((await node.call((engine, call) => engine.mounts('box', call))).ok);
  assert.deepEqual(node.mountedWith, [expected, expected]);
  assert.ok((await node.remove('box')).ok);
  await node.clock.pass(60_000);
  assert.ok((await node.call((engine, call) => engine.attach('image', call))).ok);
  assert.deepEqual(node.mountedWith, [expected, expected, expected]);
});

test('a client that mounts the device itself is told them', async () => {
  const node = await nodeWithOptions();
  const dev = { [writableLabel]: 'dev' };
  const view = await node.call((engine, call) =>
    engine.view({ key: 'look', parent: 'image', labels: dev }, call),
  );
  const options = ['ro', 'noload'];
  assert.deepEqual(view, { ok: true, value: [{ type: 'ext4', source: '/dev/memory1', options }] });
});

test('a device that is written has its own, and so has the layer that becomes of it', async () => {
  const node = await nodeWithOptions();
  await node.prepare('plain', 'image', dir);
  await node.prepare('asking', 'image', dir);
  assert.deepEqual(
    node.mountedWith.map(({ options }) => options),
    ['discard', 'discard'],
  );
  assert.ok((await node.commit('plain', 'without')).ok);
  const commit = { key: 'asking', name: 'with', labels: noload, parent: '' };
  assert.ok((await node.call((engine, call) => engine.commit(commit, call))).ok);
  await node.prepare('one', 'without');
  await node.prepare('two', 'with');
  assert.deepEqual(
    node.mountedWith.slice(2).map(({ options }) => options),
    ['', 'noload'],
  );
});

test('a layer that is read from a registry has those of its labels', async () => {
  const node = new BlockNode({ remoteLayers: true });
  await node.start();
  const prefix = 'containerd.io/snapshot';
  const labels = {
    ...noload,
    [`${prefix}.ref`]: 'chain',
    [`${prefix}/overlaybd/blob-digest`]: `sha256:${'d'.repeat(64)}`,
    [`${prefix}/overlaybd/blob-size`]: '4096',
    [`${prefix}/image-ref`]: 'docker.io/library/redis:7',
  };
  const pulled = await node.prepare('extract', '', labels);
  assert.ok(!pulled.ok && pulled.rejection.code === 'already_exists');
  await node.prepare('box', 'chain');
  assert.deepEqual(node.mountedWith, [{ deviceId: 1, options: 'noload' }]);
});

test('what the file system of a layer does not have fails its Commit, by name', async () => {
  const node = await nodeWithImage();
  node.fileSystem = 'erofs';
  const refused = await node.tryUnpack('image', 'top', noload);
  assert.ok(!refused.ok);
  assert.equal(refused.rejection.code, 'failed_precondition');
  assert.match(refused.rejection.message, /mount option noload is not allowed with erofs/);
  const states = node.engine.checkpoint().snapshots.map(({ value }) => value.lifecycle);
  assert.deepEqual(states, ['committed', 'committed', 'active']);
});

test('an image of xfs is mounted beside its copies, whatever it asks for', async () => {
  const node = new BlockNode();
  await node.start();
  node.fileSystem = 'xfs';
  await node.unpack('image', '', { [fileSystemLabel]: 'xfs;norecovery' });
  await node.unpack('plain');
  await node.prepare('one', 'image');
  await node.prepare('two', 'plain');
  assert.deepEqual(node.mountedWith, [
    { deviceId: 1, options: 'nouuid,norecovery' },
    { deviceId: 2, options: 'nouuid' },
  ]);
});
