// Calls that meet each other in the middle: layers and snapshots that go while somebody waits for
// their device, devices that cannot be taken down.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writableLabel } from '../../src/machines/snapshot/writable.ts';
import { lingerMs, nodeWithImage, type BlockNode } from './block-node.ts';

/** The id of `top`, and of what is prepared next. */
const top = 2;
const box = 3;
const dir = { [writableLabel]: 'dir' };
const eio = { step: 'mount', code: 'EIO', message: 'the layer is damaged' } as const;
const busy = { step: 'unmount', code: 'EBUSY', message: 'in use by sh (12)' } as const;

const beginPrepare = (node: BlockNode, key: string, parent: string) =>
  node.begin((engine, call) => engine.prepare({ key, parent, labels: {} }, call));

test('a layer that is removed while its device is attached leaves none, even where it would be kept', async () => {
  const node = await nodeWithImage({ autoRemoveDev: false });
  node.hang('attach');
  const preparing = beginPrepare(node, 'box', 'top');
  await node.clock.pass(1);
  assert.ok((await node.remove('top')).ok);
  node.letGoOn('attach');
  assert.ok(!(await node.clock.until(preparing)).ok);
  await node.clock.pass(lingerMs * 2);
  assert.deepEqual(await node.sightings(), []);
  assert.ok(!node.directories.has(top));
});

test('a parent that is unpacked anew while a device is attached does not keep Prepare for ever', async () => {
  const node = await nodeWithImage();
  node.hang('attach', top);
  const preparing = beginPrepare(node, 'box', 'top');
  await node.clock.pass(1);
  assert.ok((await node.remove('top')).ok);
  await node.unpack('top', 'base');
  node.letGoOn('attach');
  const prepared = await node.clock.until(preparing);
  if (prepared.ok) {
    const stat = await node.call((engine, call) => engine.mounts('box', call));
    assert.deepEqual(stat, prepared);
  }
  await node.clock.pass(lingerMs * 2);
  const boxes = node.engine.checkpoint().snapshots.filter(({ context }) => context.key === 'box');
  assert.equal(boxes.length, prepared.ok ? 1 : 0);
});

test('remote: a parent that is committed anew meanwhile is not the one that is gone', async () => {
  const prefix = 'containerd.io/snapshot';
  const labels = (name: string) => ({
    [`${prefix}.ref`]: name,
    [`${prefix}/overlaybd/blob-digest`]: `sha256:${'d'.repeat(64)}`,
    [`${prefix}/overlaybd/blob-size`]: '4096',
    [`${prefix}/image-ref`]: 'docker.io/library/redis:7',
  });
  const node = await nodeWithImage({ remoteLayers: true });
  node.hang('describe');
  const pulling = node.begin((engine, call) =>
    engine.prepare({ key: 'extract', parent: 'top', labels: labels('chain') }, call),
  );
  await node.clock.pass(1);
  assert.ok((await node.remove('top')).ok);
  await node.unpack('top', 'base');
  node.letGoOn('describe');
  await node.clock.until(pulling);
  await node.clock.pass(10);
  const { snapshots } = node.engine.checkpoint();
  const ids = new Set(snapshots.map(({ context }) => context.snapshotId));
  for (const { context } of snapshots) {
    if (context.parentId !== null) assert.ok(ids.has(context.parentId), JSON.stringify(context));
  }
});

test('Mounts of what is removed while it waits says that it does not exist', async () => {
  const node = await nodeWithImage();
  node.unpacksBlocks = false;
  await node.unpack('files', 'top');
  await node.prepare('one', 'files');
  await node.prepare('other', 'top');
  node.failing.set('attach', eio);
  await node.reboot();
  await node.clock.pass(10_000);
  node.failing.clear();
  node.hang('attach');
  const asked = node.begin((engine, call) => engine.mounts('one', call));
  await node.clock.pass(1);
  assert.deepEqual(node.attaching, [top]);
  assert.ok((await node.remove('one')).ok);
  assert.ok((await node.remove('files')).ok);
  await node.clock.pass(10);
  node.letGoOn('attach');
  const mounts = await node.clock.until(asked);
  assert.ok(!mounts.ok);
  assert.equal(mounts.rejection.code, 'not_found');
});

test('Mounts of what is removed ends, though nobody needs its device any more', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top', dir);
  node.hang('attach');
  node.loseDevices();
  await node.clock.pass(10_000);
  const asked = node.begin((engine, call) => engine.mounts('box', call));
  await node.clock.pass(1);
  assert.ok((await node.remove('box')).ok);
  node.letGoOn('attach');
  const mounts = await node.clock.until(asked);
  assert.ok(!mounts.ok);
  assert.equal(mounts.rejection.code, 'not_found');
});

test('EBUSY while a failed mount is undone is told to whoever comes then', async () => {
  const node = await nodeWithImage();
  node.failing.set('mount', eio);
  node.failing.set('unmount', busy);
  assert.ok(!(await node.prepare('box', 'top')).ok);
  const refused = await node.prepare('again', 'top');
  assert.ok(!refused.ok);
  node.failing.clear();
  assert.ok((await node.prepare('again', 'top')).ok);
});

test('Cleanup ends while somebody uses a device of what was removed, and says so', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top', dir);
  node.failing.set('detach', { ...busy, step: 'close' });
  assert.ok((await node.remove('box')).ok);
  const cleaned = await node.call((engine, call) => engine.cleanup(call));
  assert.ok(!cleaned.ok);
  assert.match(cleaned.rejection.message, /in use by sh/);
  node.failing.clear();
  assert.deepEqual(await node.call((engine, call) => engine.cleanup(call)), {
    ok: true,
    value: undefined,
  });
  assert.ok(!node.directories.has(box));
});

test('who comes while a failed attach is undone need not wait out the pause before the next', async () => {
  const node = await nodeWithImage();
  await node.prepare('one', 'top');
  node.failing.set('attach', eio);
  node.loseDevices();
  // By now it is tried every few minutes.
  await node.clock.pass(3_600_000);
  node.hang('detach');
  const asked = node.begin((engine, call) => engine.mounts('one', call));
  assert.ok(!(await node.clock.until(asked)).ok);
  node.failing.clear();
  const preparing = beginPrepare(node, 'two', 'top');
  await node.clock.pass(1);
  node.letGoOn('detach');
  assert.ok((await node.clock.until(preparing)).ok);
});

test('a clock that is set back while nothing runs keeps no device', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  assert.ok((await node.remove('box')).ok);
  assert.equal(node.standing(top), 'lingering');
  node.clock.setBack(86_400_000);
  await node.crash();
  await node.clock.pass(lingerMs + 1_000);
  assert.deepEqual(await node.sightings(), []);
});
