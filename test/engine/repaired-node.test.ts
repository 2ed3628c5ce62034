// A node whose log was repaired: what the log has lost of a device never costs what is on it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writableLabel } from '../../src/machines/snapshot/writable.ts';
import { lingerMs, nodeWithImage } from './block-node.ts';

/** The id of what is prepared next. */
const box = 3;
const dir = { [writableLabel]: 'dir' };

test('after a repair that lost how it was formatted a device keeps what is on it', async () => {
  for (const lost of [
    ['DeviceFormatted', 'DeviceMounted'],
    ['DeviceAttached', 'DeviceFormatted', 'DeviceMounted'],
  ]) {
    const node = await nodeWithImage();
    assert.ok((await node.prepare('box', '', dir)).ok);
    assert.deepEqual(node.formatted, [box]);
    await node.repair(({ type }) => lost.includes(type));
    assert.ok((await node.call((engine, call) => engine.mounts('box', call))).ok);
    assert.deepEqual(node.formatted, [box], lost.join(', '));
  }
});

test('after a repair that lost its snapshot the directory of a device stays', async () => {
  const node = await nodeWithImage();
  assert.ok((await node.prepare('box', 'top', dir)).ok);
  await node.repair(({ type, stream }) => type === 'SnapshotPrepared' && stream === 'snapshot-3');
  await node.clock.pass(lingerMs * 2);
  assert.ok(node.directories.has(box));
});

test('after a repair that lost how its device was to be attached a snapshot gets it back', async () => {
  for (const last of ['DeviceLeased', 'DeviceLost']) {
    const node = await nodeWithImage();
    assert.ok((await node.prepare('box', 'top', dir)).ok);
    const mounts = await node.call((engine, call) => engine.mounts('box', call));
    node.loseDevices();
    await node.clock.pass(20_000);
    const stream = 'device-3';
    const events = (await node.events()).filter((event) => event.stream === stream);
    const end = events.find(({ type }) => type === last)?.revision ?? 0;
    assert.ok(end > 0);
    await node.repair((event) => event.stream === stream && event.revision > end);
    assert.deepEqual(await node.call((engine, call) => engine.mounts('box', call)), mounts, last);
    assert.ok((await node.remove('box')).ok);
    await node.clock.pass(lingerMs * 2);
    assert.deepEqual(await node.sightings(), [], last);
    assert.ok(!node.directories.has(box), last);
  }
});
