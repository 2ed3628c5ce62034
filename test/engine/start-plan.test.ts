// What a start would do, asked of a node that runs: what is under way is none of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planDevices } from '../../src/engine/device-recovery.ts';
import { Projection } from '../../src/machines/projection.ts';
import { BlockNode, nodeWithImage } from './block-node.ts';

const top = 2;
const policy = { autoRemoveDev: true, lingerMs: 1, nowUs: 0 };

test('a Prepare that waits for its device has no orphaned directory, and its lease is somebody’s', async () => {
  const node = await nodeWithImage();
  node.hang('attach');
  const preparing = node.begin((engine, call) =>
    engine.prepare({ key: 'box', parent: 'top', labels: {} }, call),
  );
  await node.clock.pass(1);
  assert.ok(node.directories.has(3));
  const { boot, devices } = await node.clock.until(node.engine.startPlan());
  assert.deepEqual(boot.orphans, []);
  assert.deepEqual(devices.changes, []);
  assert.deepEqual(
    devices.inFlight.map(({ value }) => value.attachment),
    ['attaching'],
  );
  node.letGoOn('attach');
  assert.ok((await node.clock.until(preparing)).ok);
  const after = await node.clock.until(node.engine.startPlan());
  assert.deepEqual([after.devices.inFlight, after.boot.missing], [[], []]);
  assert.equal(after.devices.presentCount, 1);
  // One that is detached needs no backing store, though more can come of it.
  await node.remove('box');
  await node.clock.pass(60_000);
  assert.equal(node.standing(top), 'absent');
  const last = await node.clock.until(node.engine.startPlan());
  assert.equal(last.devices.presentCount, 0);
});

test('a directory of nobody is an orphan, of a node that runs, too', async () => {
  const node = await nodeWithImage();
  node.directories.add(99).add(5_000);
  const { boot } = await node.clock.until(node.engine.startPlan());
  assert.deepEqual([boot.orphans, boot.unexplained], [[99], [5_000]]);
});

test('what a repair could not save of leases is taken again, and its device is no stray', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  const forgotten = { ...node.engine.checkpoint(), devices: [] };
  const sightings = [
    { deviceId: top, path: '/dev/memory2', isMounted: true },
    { deviceId: 77, path: '/dev/memory77', isMounted: false },
  ];
  const { unleased, strays } = planDevices(
    Projection.fromCheckpoint(forgotten),
    { sightings, wasRebooted: false, isPreparing: () => false },
    { policy, throughSeq: forgotten.globalSeq },
  );
  assert.deepEqual(
    unleased.map(({ context }) => context.key),
    ['box'],
  );
  assert.deepEqual(strays, [77]);
});

test('what the start found has ended when it is said to: orphans, and devices in flight', async () => {
  const node = await nodeWithImage();
  node.hang('detach');
  await node.prepare('box', 'top');
  await node.remove('box');
  await node.clock.pass(60_000);
  assert.equal(node.standing(top), 'detaching');
  node.directories.add(99);
  await node.crash();
  await node.clock.until(node.engine.recovered());
  assert.equal(node.standing(top), 'absent');
  assert.deepEqual([...node.directories], [1, 2]);
});

test('a directory above all reserved ids stays, however many starts come', async () => {
  const node = new BlockNode();
  // An older copy of the log was put back: it knows nothing of what a newer one made.
  node.directories.add(5_000);
  await node.start();
  await node.unpack('base');
  assert.ok(node.engine.checkpoint().node.idsReservedUpTo > 5_000);
  for (let start = 0; start < 2; start += 1) {
    await node.crash();
    await node.clock.pass(1_000);
    assert.ok(node.directories.has(5_000), `start ${start + 2}`);
  }
  // What this log handed out itself is an orphan as before.
  node.directories.add(5_900);
  await node.crash();
  await node.clock.pass(1_000);
  assert.ok(!node.directories.has(5_900));
});
