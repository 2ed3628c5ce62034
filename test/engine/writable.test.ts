// Snapshots that are written through a device of their own, as users of the service see them: in
// which cases there is one, what their mounts are, and how they become layers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writableLabel } from '../../src/machines/snapshot/writable.ts';
import { lingerMs, nodeWithImage, type BlockNode } from './block-node.ts';

/** The id of `top`, and of what is prepared next. */
const top = 2;
const box = 3;

const dir = { [writableLabel]: 'dir' };
const dev = { [writableLabel]: 'dev' };
const full = { step: 'seal-layer', code: 'ENOSPC', message: 'the disk is full' } as const;
const busy = { step: 'close', code: 'EBUSY', message: 'in use by sleep (12)' } as const;

const mounted = (deviceId: number) => ({
  deviceId,
  path: `/dev/memory${deviceId}`,
  isMounted: true,
});

test('dir: a container writes its own device, mounted, on top of what is below', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  const mounts = await node.prepare('box', 'top');
  assert.deepEqual(mounts, {
    ok: true,
    value: [{ type: 'bind', source: '/s/3/block/mountpoint', options: ['rw', 'rbind'] }],
  });
  assert.deepEqual(await node.sightings(), [mounted(box)]);
  const plan = node.device(box)?.context.plan;
  assert.deepEqual(plan?.writableLayer, { layerType: 'append', sizeGib: null, parentId: top });
  assert.deepEqual(node.formatted, [], 'what the image holds stays');
  const again = await node.call((engine, call) => engine.mounts('box', call));
  assert.deepEqual(again, mounts);
});

test('dev: the client gets the device itself, with its file system', async () => {
  const node = await nodeWithImage();
  const mounts = await node.prepare('box', 'top', dev);
  assert.deepEqual(mounts, {
    ok: true,
    value: [{ type: 'ext4', source: '/dev/memory3', options: ['rw', 'discard'] }],
  });
  assert.deepEqual(await node.sightings(), [{ ...mounted(box), isMounted: false }]);
});

test('a device on nothing gets a file system, once', async () => {
  const node = await nodeWithImage();
  const size = { 'containerd.io/snapshot/overlaybd/vsize': '3' };
  assert.ok((await node.prepare('box', '', { ...dir, ...size })).ok);
  assert.deepEqual(node.formatted, [box]);
  assert.equal(node.device(box)?.context.plan?.writableLayer?.sizeGib, 3);
  await node.reboot();
  assert.ok((await node.call((engine, call) => engine.mounts('box', call))).ok);
  assert.deepEqual(node.formatted, [box]);
  // Neither after a commit that failed.
  node.failing.set('finish', full);
  assert.ok(!(await node.commit('box', 'layer')).ok);
  assert.ok((await node.call((engine, call) => engine.mounts('box', call))).ok);
  assert.deepEqual(node.formatted, [box]);
});

test('the label decides against the configuration, in both directions', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  const byLabel = await node.prepare('box', 'top', { [writableLabel]: 'overlayfs' });
  assert.ok(byLabel.ok);
  assert.equal(byLabel.value[0]?.type, 'overlay');
  assert.deepEqual(await node.sightings(), [mounted(top)]);
});

test('an unpack writes files and gets no device, whatever is asked for', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  const key = `extract-9 sha256:${'9'.repeat(64)}`;
  const mounts = await node.prepare(key, 'top', dir);
  assert.ok(mounts.ok);
  assert.equal(mounts.value[0]?.type, 'overlay');
  assert.deepEqual(await node.sightings(), []);
});

test('above ordinary layers a container writes files', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  node.unpacksBlocks = false;
  await node.unpack('files', 'top');
  const mounts = await node.prepare('box', 'files', dir);
  assert.ok(mounts.ok);
  assert.equal(mounts.value[0]?.type, 'overlay');
});

test('R-14: a view is read-only in every mode', async () => {
  const node = await nodeWithImage();
  const view = (key: string, labels: Record<string, string>) =>
    node.call((engine, call) => engine.view({ key, parent: 'top', labels }, call));
  const plain = await view('plain', {});
  assert.deepEqual(await view('dir', dir), plain);
  assert.deepEqual(await view('dev', dev), {
    ok: true,
    value: [{ type: 'ext4', source: '/dev/memory2', options: ['ro'] }],
  });
  assert.deepEqual(await node.sightings(), [mounted(top)]);
});

test('with Docker the modes are refused, and the reason is said', async () => {
  const node = await nodeWithImage({ runtimeType: 'docker' });
  const refused = await node.prepare('box', 'top', dir);
  assert.ok(!refused.ok);
  assert.equal(refused.rejection.code, 'failed_precondition');
  assert.match(refused.rejection.message, /runtimeType docker/);
  assert.deepEqual(await node.sightings(), []);
});

test('R-19: Commit makes a block layer of what was written: its device is gone, and it is shared', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  await node.prepare('box', 'top');
  assert.deepEqual(await node.commit('box', 'next'), { ok: true, value: undefined });
  assert.deepEqual(await node.sightings(), []);
  const [layer] = node.engine
    .checkpoint()
    .snapshots.filter(({ context }) => context.key === 'next');
  assert.equal(layer?.value.backing, 'localBlock');
  assert.deepEqual(layer?.context.block, {
    ...{ fileSystem: 'ext4', layerFile: 'overlaybd.sealed', mountOptions: '' },
  });
  const label = { [writableLabel]: 'overlayfs' };
  const mounts = await node.prepare('one', 'next', label);
  assert.ok(mounts.ok);
  assert.equal(mounts.value[0]?.options.at(-1), 'lowerdir=/s/3/block/mountpoint');
  await node.prepare('two', 'next', label);
  assert.deepEqual(await node.sightings(), [mounted(box)]);
});

test('Commit of a device that somebody uses fails and says by whom; the snapshot goes on', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  const mounts = await node.prepare('box', 'top');
  node.failing.set('detach', busy);
  const refused = await node.commit('box', 'next');
  assert.ok(!refused.ok);
  assert.equal(refused.rejection.code, 'failed_precondition');
  assert.match(refused.rejection.message, /in use by sleep/);
  node.failing.clear();
  assert.deepEqual(await node.call((engine, call) => engine.mounts('box', call)), mounts);
  assert.deepEqual(await node.sightings(), [mounted(box)]);
  assert.deepEqual(await node.commit('box', 'next'), { ok: true, value: undefined });
});

test('Commit that cannot finish the layer fails; what was written can be written on', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  await node.prepare('box', 'top');
  node.failing.set('finish', full);
  const refused = await node.commit('box', 'next');
  assert.ok(!refused.ok);
  assert.equal(refused.rejection.code, 'resource_exhausted');
  assert.ok((await node.call((engine, call) => engine.mounts('box', call))).ok);
  assert.deepEqual(await node.sightings(), [mounted(box)]);
  node.failing.clear();
  assert.ok((await node.commit('box', 'next')).ok);
});

test('Commit after one that had sealed the layer succeeds, also while its device is on its way back', async () => {
  const eio = { step: 'open', code: 'EIO', message: 'the layer is sealed' } as const;
  const commit = (node: BlockNode) =>
    node.begin((engine, call) =>
      engine.commit({ key: 'box', name: 'next', labels: {}, parent: '' }, call),
    );
  for (const step of ['attach', 'mount'] as const) {
    const node = await nodeWithImage({ rwMode: 'dir' });
    await node.prepare('box', 'top');
    node.failing.set('finish', full);
    node.hang(step);
    assert.ok(!(await node.commit('box', 'next')).ok);
    await node.clock.pass(1);
    node.failing.clear();
    node.failing.set(step, eio);
    const committing = commit(node);
    await node.clock.pass(1);
    node.letGoOn(step);
    assert.deepEqual(await node.clock.until(committing), { ok: true, value: undefined }, step);
    assert.deepEqual(await node.sightings(), [], step);
  }
});

test('Commit does not wait for the next attempt at what is left of a device', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  await node.prepare('box', 'top');
  node.failing.set('finish', full);
  node.failing.set('mount', full);
  assert.ok(!(await node.commit('box', 'next')).ok);
  node.failing.set('detach', busy);
  await node.clock.pass(100_000);
  assert.equal(node.standing(box), 'detaching');
  node.failing.clear();
  assert.deepEqual(await node.commit('box', 'next'), { ok: true, value: undefined });
});

test('a device that was made on nothing cannot be put on a parent by Commit', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', '', dir);
  const refused = await node.call((engine, call) =>
    engine.commit({ key: 'box', name: 'next', labels: {}, parent: 'top' }, call),
  );
  assert.ok(!refused.ok);
  assert.equal(refused.rejection.code, 'failed_precondition');
  assert.match(refused.rejection.message, /commit it without a parent/);
  assert.ok((await node.commit('box', 'next')).ok);
});

test('while it is committed nobody gets its mounts', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  await node.prepare('box', 'top');
  node.hang('finish');
  const committing = node.begin((engine, call) =>
    engine.commit({ key: 'box', name: 'next', labels: {}, parent: '' }, call),
  );
  await node.clock.pass(1);
  const mounts = await node.call((engine, call) => engine.mounts('box', call));
  assert.ok(!mounts.ok);
  assert.equal(mounts.rejection.code, 'failed_precondition');
  node.letGoOn('finish');
  assert.ok((await node.clock.until(committing)).ok);
});

/** A container whose Commit has come to a step, and stands still there. */
async function committingUpTo(step: 'unmount' | 'detach' | 'finish') {
  const node = await nodeWithImage({ rwMode: 'dir' });
  const mounts = await node.prepare('box', 'top');
  node.hang(step);
  void node.begin((engine, call) =>
    engine.commit({ key: 'box', name: 'next', labels: {}, parent: '' }, call),
  );
  await node.clock.pass(1);
  return { node, mounts };
}

test('kill -9 in the middle of a commit: the next start completes it', async () => {
  for (const step of ['unmount', 'detach', 'finish'] as const) {
    const { node } = await committingUpTo(step);
    await node.crash();
    await node.clock.pass(10);
    const stat = await node.call((engine, call) => engine.stat('next', call));
    assert.equal(stat.ok && stat.value.kind, 'committed', step);
    assert.deepEqual(await node.sightings(), [], step);
  }
});

test('R-13b: a commit in flight fails when its device goes with what was not written yet', async () => {
  const goes = {
    'the machine is started anew': (node: BlockNode) => node.reboot(),
    'what serves it dies': async (node: BlockNode) => {
      node.loseDevices();
      node.letGoOn('unmount');
    },
  };
  for (const [how, go] of Object.entries(goes)) {
    const { node, mounts } = await committingUpTo('unmount');
    await go(node);
    await node.clock.pass(10);
    const failed = (await node.events()).filter(({ type }) => type === 'SnapshotCommitFailed');
    assert.match(JSON.stringify(failed[0]?.data), /was gone before it was unmounted/, how);
    const ofDevice = (await node.events())
      .filter(({ stream }) => stream === `device-${box}`)
      .map(({ type }) => type);
    const told = ['DeviceLeased', 'DeviceLost', 'DeviceAttachStarted', 'DeviceAttached'];
    assert.deepEqual(ofDevice.slice(-5), [...told, 'DeviceMounted'], how);
    assert.ok(!(await node.call((engine, call) => engine.stat('next', call))).ok, how);
    assert.deepEqual(await node.call((engine, call) => engine.mounts('box', call)), mounts, how);
    assert.deepEqual(await node.sightings(), [mounted(box)], how);
    assert.deepEqual(await node.commit('box', 'next'), { ok: true, value: undefined }, how);
  }
});

test('a reboot after the device was unmounted completes the commit', async () => {
  for (const step of ['detach', 'finish'] as const) {
    const { node } = await committingUpTo(step);
    await node.reboot();
    await node.clock.pass(10);
    const stat = await node.call((engine, call) => engine.stat('next', call));
    assert.equal(stat.ok && stat.value.kind, 'committed', step);
  }
});

test('R-24: Remove takes the device at once, and the directory after it', async () => {
  const node = await nodeWithImage({ rwMode: 'dir', autoRemoveDev: false });
  await node.prepare('box', 'top');
  node.hang('detach');
  assert.ok((await node.remove('box')).ok);
  await node.clock.pass(1);
  assert.ok(node.directories.has(box));
  node.letGoOn('detach');
  await node.clock.pass(1);
  assert.deepEqual(await node.sightings(), []);
  assert.ok(!node.directories.has(box));
  assert.equal(node.device(box), undefined);
});

test('R-18: a Prepare whose device cannot be made leaves nothing', async () => {
  for (const step of ['attach', 'format', 'mount'] as const) {
    const node = await nodeWithImage();
    node.failing.set(step, full);
    const refused = await node.prepare('box', '', dir);
    assert.ok(!refused.ok, step);
    assert.equal(refused.rejection.code, 'resource_exhausted');
    await node.clock.pass(10);
    assert.deepEqual(await node.sightings(), [], step);
    assert.ok(!node.directories.has(box), step);
    assert.equal(node.device(box), undefined, step);
  }
});

test('kill -9 in a Prepare: the next start takes down what was built', async () => {
  for (const step of ['attach', 'format', 'mount'] as const) {
    const node = await nodeWithImage();
    node.hang(step);
    void node.begin((engine, call) =>
      engine.prepare({ key: 'box', parent: '', labels: dir }, call),
    );
    await node.clock.pass(1);
    await node.crash();
    await node.clock.pass(10);
    assert.deepEqual(await node.sightings(), [], step);
    assert.ok(!node.directories.has(box), step);
    assert.equal(node.device(box), undefined, step);
    assert.ok((await node.prepare('box', '', dir)).ok, step);
  }
});

test('R-13: the device of a running container stays over kill -9, and comes back after a reboot', async () => {
  const node = await nodeWithImage({ rwMode: 'dir' });
  const mounts = await node.prepare('box', 'top');
  await node.crash();
  await node.clock.pass(lingerMs * 2);
  assert.deepEqual(await node.sightings(), [mounted(box)]);
  await node.reboot();
  assert.deepEqual(await node.call((engine, call) => engine.mounts('box', call)), mounts);
  assert.deepEqual(await node.sightings(), [mounted(box)]);
});

test('R-20, R-20b, R-21, R-31: labels of what is to come are refused by name', async () => {
  const node = await nodeWithImage();
  const label = 'containerd.io/snapshot/overlaybd/turbo-oci/target-digest';
  const refused = await node.prepare('box', 'top', { [label]: 'sha256:1' });
  assert.ok(!refused.ok);
  assert.equal(refused.rejection.code, 'failed_precondition');
  assert.ok(refused.rejection.message.includes(label));
});
