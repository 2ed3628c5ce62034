// Devices as users of the service see them: shared by all containers of a chain, there when a mount
// is answered, gone when nobody needs them, back when they were lost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockNode, lingerMs, nodeWithImage } from './block-node.ts';

const eio = { step: 'open', code: 'EIO', message: 'the layer is damaged', path: '/l' } as const;

/** The id of `top`. */
const top = 2;

async function attachCount(node: BlockNode): Promise<number> {
  return (await node.events()).filter(({ type }) => type === 'DeviceAttached').length;
}

test('R-23: unpacking block layers attaches nothing', async () => {
  const node = await nodeWithImage();
  assert.deepEqual(await node.sightings(), []);
  assert.equal(node.device(top), undefined);
});

test('a container is an overlay of its own directory over the device of its chain', async () => {
  const node = await nodeWithImage();
  const mounts = await node.prepare('box', 'top');
  assert.deepEqual(mounts, {
    ok: true,
    value: [
      {
        type: 'overlay',
        source: 'overlay',
        options: ['workdir=/s/3/work', 'upperdir=/s/3/fs', 'lowerdir=/s/2/block/mountpoint'],
      },
    ],
  });
  assert.deepEqual(await node.sightings(), [
    { deviceId: top, path: '/dev/memory2', isMounted: true },
  ]);
});

test('ordinary layers on block layers lie between them and the container', async () => {
  const node = await nodeWithImage();
  node.unpacksBlocks = false;
  await node.unpack('files', 'top');
  const mounts = await node.prepare('box', 'files');
  assert.ok(mounts.ok);
  assert.equal(mounts.value[0]?.options.at(-1), 'lowerdir=/s/3/fs:/s/2/block/mountpoint');
  // What is unpacked on an ordinary layer is ordinary, whatever it holds.
  node.unpacksBlocks = true;
  await node.unpack('more', 'files');
  const view = await node.call((engine, call) =>
    engine.view({ key: 'look', parent: 'more', labels: {} }, call),
  );
  assert.ok(view.ok);
  assert.equal(view.value[0]?.options.at(-1), 'lowerdir=/s/5/fs:/s/3/fs:/s/2/block/mountpoint');
});

test('a view of a block layer is its device, read-only', async () => {
  const node = await nodeWithImage();
  const view = await node.call((engine, call) =>
    engine.view({ key: 'look', parent: 'top', labels: {} }, call),
  );
  assert.deepEqual(view, {
    ok: true,
    value: [{ type: 'bind', source: '/s/2/block/mountpoint', options: ['ro', 'rbind'] }],
  });
});

test('R-02: ten first containers at once are one attach, and all get their mounts', async () => {
  const node = await nodeWithImage();
  node.hang('attach');
  const keys = Array.from({ length: 10 }, (_, index) => `box-${index}`);
  const preparing = keys.map((key) =>
    node.begin((engine, call) => engine.prepare({ key, parent: 'top', labels: {} }, call)),
  );
  await node.clock.pass(1);
  node.letGoOn('attach');
  const results = await node.clock.until(Promise.all(preparing));
  assert.ok(results.every(({ ok }) => ok));
  assert.equal(await attachCount(node), 1);
  assert.equal(node.device(top)?.context.leases.length, 10);
});

test('the lease is durable before anything is attached, and before the snapshot is', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  const types = (await node.events()).map(({ type }) => type);
  const lastOf = (type: string): number => types.lastIndexOf(type);
  assert.ok(lastOf('DeviceLeased') < lastOf('DeviceAttached'));
  assert.ok(lastOf('DeviceMounted') < lastOf('SnapshotPrepared'));
});

test('a device lingers after its last container, and is detached then', async () => {
  const node = await nodeWithImage();
  await node.prepare('one', 'top');
  await node.prepare('two', 'top');
  await node.remove('one');
  assert.equal(node.standing(top), 'ready');
  await node.remove('two');
  assert.equal(node.standing(top), 'lingering');
  await node.clock.pass(lingerMs - 100);
  assert.equal((await node.sightings()).length, 1);
  await node.clock.pass(200);
  assert.deepEqual(await node.sightings(), []);
  assert.equal(node.standing(top), 'absent');
});

test('a container that comes while the device lingers keeps it', async () => {
  const node = await nodeWithImage();
  await node.prepare('one', 'top');
  await node.remove('one');
  await node.clock.pass(lingerMs / 2);
  await node.prepare('two', 'top');
  await node.clock.pass(lingerMs * 3);
  assert.equal(node.standing(top), 'ready');
  assert.equal(await attachCount(node), 1);
});

for (const step of ['unmount', 'detach'] as const) {
  test(`a container that comes during the ${step} gets a device that works`, async () => {
    const node = await nodeWithImage();
    await node.prepare('one', 'top');
    await node.remove('one');
    node.hang(step);
    await node.clock.pass(lingerMs + 100);
    assert.equal(node.standing(top), step === 'unmount' ? 'unmounting' : 'detaching');
    const preparing = node.begin((engine, call) =>
      engine.prepare({ key: 'two', parent: 'top', labels: {} }, call),
    );
    await node.clock.pass(10);
    node.letGoOn(step);
    const prepared = await node.clock.until(preparing);
    assert.ok(prepared.ok, JSON.stringify(prepared));
    assert.deepEqual(await node.sightings(), [
      { deviceId: top, path: '/dev/memory2', isMounted: true },
    ]);
    assert.equal(node.standing(top), 'ready');
  });
}

test('with autoRemoveDev off a container’s device stays until its layer goes; a view’s does not', async () => {
  const node = await nodeWithImage({ autoRemoveDev: false });
  await node.call((engine, call) => engine.view({ key: 'look', parent: 'top', labels: {} }, call));
  await node.remove('look');
  await node.clock.pass(lingerMs + 100);
  assert.equal(node.standing(top), 'absent');
  await node.prepare('box', 'top');
  await node.remove('box');
  await node.clock.pass(lingerMs * 10);
  assert.equal(node.standing(top), 'kept');
  assert.equal((await node.sightings()).length, 1);
  assert.ok((await node.remove('top')).ok);
  await node.clock.pass(1_000);
  assert.deepEqual(await node.sightings(), []);
  assert.ok(!node.directories.has(top), 'its directory is deleted once the device is gone');
});

test('a device that cannot be attached fails the Prepare with its reason, and leaves nothing', async () => {
  const node = await nodeWithImage();
  node.failing.set('attach', eio);
  const refused = await node.prepare('box', 'top');
  assert.ok(!refused.ok);
  assert.equal(refused.rejection.code, 'unknown');
  assert.match(refused.rejection.message, /"box".*open failed with EIO: the layer is damaged/);
  await node.clock.pass(1_000);
  assert.equal(node.standing(top), 'absent');
  assert.equal(node.directories.size, 2);
  node.failing.clear();
  assert.ok((await node.prepare('box', 'top')).ok, 'it works when the cause is gone');
});

test('R-04: a mount that fails takes the device down with it', async () => {
  const node = await nodeWithImage();
  node.failing.set('mount', { ...eio, step: 'mount' });
  assert.ok(!(await node.prepare('box', 'top')).ok);
  await node.clock.pass(1_000);
  assert.deepEqual(await node.sightings(), []);
  assert.equal(node.standing(top), 'absent');
});

test('R-10: what is in use and cannot be detached is tried again, until it can', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  await node.remove('box');
  node.failing.set('detach', { step: 'close', code: 'EBUSY', message: 'process 7 has it open' });
  await node.clock.pass(lingerMs + 2_000);
  assert.equal(node.standing(top), 'detaching');
  assert.equal(node.device(top)?.context.lastFailure?.code, 'EBUSY');
  node.failing.clear();
  await node.clock.pass(600_000);
  assert.equal(node.standing(top), 'absent');
});

test('after a reboot the devices of containers are attached again', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  await node.reboot();
  const mounts = await node.call((engine, call) => engine.mounts('box', call));
  assert.ok(mounts.ok);
  assert.deepEqual(await node.sightings(), [
    { deviceId: top, path: '/dev/memory2', isMounted: true },
  ]);
  assert.ok((await node.events()).some(({ type }) => type === 'DeviceLost'));
});

test('after kill -9 devices are as they were, and nobody notices', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  const before = (await node.events()).filter(({ stream }) => stream === 'device-2');
  await node.crash();
  await node.clock.pass(1_000);
  assert.equal(node.standing(top), 'ready');
  const after = (await node.events()).filter(({ stream }) => stream === 'device-2');
  assert.deepEqual(after, before);
});

test('R-05: a Prepare that kill -9 interrupted leaves no lease and no device', async () => {
  const node = await nodeWithImage();
  node.hang('attach');
  void node.begin((engine, call) =>
    engine.prepare({ key: 'box', parent: 'top', labels: {} }, call),
  );
  await node.clock.pass(10);
  assert.equal(node.device(top)?.context.leases.length, 1);
  await node.crash();
  await node.clock.pass(lingerMs + 1_000);
  assert.equal(node.standing(top), 'absent');
  assert.deepEqual(await node.sightings(), []);
  assert.deepEqual([...node.directories].sort(), [1, 2]);
});

test('a device that the backing store lost is attached again for those who lease it', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  node.loseDevices();
  await node.clock.pass(30_000);
  assert.equal((await node.sightings()).length, 1);
  assert.equal(node.standing(top), 'ready');
});

test('one that cannot be looked at is neither lost nor a stray, and hides the loss of none', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  await node.prepare('other', 'base');
  node.loseDevices();
  for (const deviceId of [top, 99]) {
    await node.leaveStray(deviceId);
    node.unseen.set(deviceId, { step: 'look', code: 'EBUSY', message: 'somebody is stuck' });
  }
  const lost = async (): Promise<readonly string[]> =>
    (await node.events()).filter(({ type }) => type === 'DeviceLost').map(({ stream }) => stream);
  await node.clock.pass(30_000);
  await node.crash();
  assert.deepEqual(await lost(), ['device-1']);
  assert.deepEqual(
    (await node.sightings()).map(({ deviceId, isMounted }) => [deviceId, isMounted]),
    [
      [top, false],
      [99, false],
      [1, true],
    ],
  );
  // As it is mounted no more, which shows now.
  node.unseen.clear();
  await node.clock.pass(30_000);
  assert.deepEqual(await lost(), ['device-1', 'device-2']);
  assert.equal(node.standing(top), 'ready');
});

test('who looks at devices is told by what they are attached, but of none that is lost', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  await node.crash();
  assert.deepEqual([...node.recorded], [[top, 'memory']]);
  node.hang('attach');
  node.loseDevices();
  await node.clock.pass(30_000);
  assert.equal(node.standing(top), 'attaching');
  assert.deepEqual([...node.recorded], []);
  node.letGoOn('attach');
  await node.clock.pass(30_000);
  assert.deepEqual([...node.recorded], [[top, 'memory']]);
  node.failing.set('attach', eio);
  await node.reboot();
  assert.deepEqual([...node.recorded], []);
});

test('Mounts waits for a device that is being attached again, and tells why it cannot be', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  node.failing.set('attach', eio);
  await node.reboot();
  const mounts = await node.call((engine, call) => engine.mounts('box', call));
  assert.ok(!mounts.ok);
  assert.match(mounts.rejection.message, /the layer is damaged/);
  node.failing.clear();
  const again = await node.call((engine, call) => engine.mounts('box', call));
  assert.ok(again.ok, JSON.stringify(again));
});

test('R-01: an attach of one image that hangs delays no other', async () => {
  const node = await nodeWithImage();
  await node.unpack('other');
  node.hang('attach', top);
  const hanging = node.begin((engine, call) =>
    engine.prepare({ key: 'stuck', parent: 'top', labels: {} }, call),
  );
  await node.clock.pass(10);
  assert.ok((await node.prepare('free', 'other')).ok);
  assert.equal(node.standing(top), 'attaching');
  node.letGoOn('attach');
  assert.ok((await node.clock.until(hanging)).ok);
});

test('a device of which nothing is known is detached at a start, when no lease can meet that', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  await node.leaveStray(99);
  await node.clock.pass(60_000);
  assert.equal((await node.sightings()).length, 2);
  await node.crash();
  assert.deepEqual(
    (await node.sightings()).map(({ deviceId }) => deviceId),
    [top],
  );
});

test('so is one where no device is known at all', async () => {
  const node = new BlockNode();
  await node.start();
  await node.leaveStray(99);
  await node.crash();
  assert.deepEqual(await node.sightings(), []);
});
