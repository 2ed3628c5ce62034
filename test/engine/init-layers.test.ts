// Docker's containers above block layers, as the calls of Docker come: an init layer is prepared,
// filled, committed, and the container lies on it. (R-12, R-13: overlaybd's snapshotter takes the
// device from stopped containers, and does not bring it back after a reboot.)
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockNode, lingerMs, nodeWithImage, type BlockNodeOptions } from './block-node.ts';

/** The id of `top`, the image's topmost layer. */
const top = 2;
const overDevice = '/s/2/block/mountpoint';

const hexOf = (name: string): string => Buffer.from(name.padEnd(32, '.')).toString('hex');

const nodeWith = (options: BlockNodeOptions = {}): Promise<BlockNode> =>
  nodeWithImage({ runtimeType: 'docker', ...options });

const optionsOf = (mounted: Awaited<ReturnType<BlockNode['prepare']>>): readonly string[] => {
  assert.ok(mounted.ok, JSON.stringify(mounted));
  return mounted.value[0]?.options ?? [];
};

/** What `docker create` does; the id of the container's snapshot is one more than the answer. */
async function create(node: BlockNode, name: string, image = 'top'): Promise<number> {
  const key = `moby/1/${hexOf(name)}`;
  const mounts = await node.prepare(`${key}-init-key`, image);
  assert.ok(mounts.ok, JSON.stringify(mounts));
  const [mount] = mounts.value;
  const initId = Number(mount?.source.split('/')[2]);
  assert.deepEqual(mount, { type: 'bind', source: `/s/${initId}/fs`, options: ['rw', 'rbind'] });
  const again = await node.call((engine, call) => engine.mounts(`${key}-init-key`, call));
  assert.deepEqual(again, mounts, 'Mounts is what Prepare answered');
  const committed = await node.call((engine, call) =>
    engine.commit({ key: `${key}-init-key`, name: `${key}-init`, labels: {}, parent: '' }, call),
  );
  assert.ok(committed.ok, JSON.stringify(committed));
  const options = optionsOf(await node.prepare(key, `${key}-init`));
  assert.equal(options.at(-1), `lowerdir=/s/${initId}/fs:${overDevice}`);
  return initId;
}

const mounts = (node: BlockNode, name: string) =>
  node.call((engine, call) => engine.mounts(`moby/1/${hexOf(name)}`, call));

/** What `docker rm` does. */
async function remove(node: BlockNode, name: string): Promise<void> {
  const key = `moby/1/${hexOf(name)}`;
  assert.ok((await node.remove(key)).ok);
  assert.ok((await node.remove(`${key}-init`)).ok);
}

const purposes = (node: BlockNode): readonly string[] =>
  (node.device(top)?.context.leases ?? []).map(({ purpose }) => purpose);

const isThere = async (node: BlockNode): Promise<void> => {
  assert.deepEqual(await node.sightings(), [
    { deviceId: top, path: '/dev/memory2', isMounted: true },
  ]);
};

test('R-12: all containers of an image share one device, until the last init layer goes', async () => {
  const node = await nodeWith();
  await create(node, 'first');
  await create(node, 'second');
  assert.deepEqual(purposes(node), ['initLayer', 'container', 'initLayer', 'container']);
  await remove(node, 'first');
  assert.equal(node.standing(top), 'ready', 'the other one needs it');
  assert.ok((await node.remove(`moby/1/${hexOf('second')}`)).ok);
  await node.clock.pass(lingerMs * 3);
  assert.deepEqual(purposes(node), ['initLayer']);
  await isThere(node);
  assert.ok((await node.remove(`moby/1/${hexOf('second')}-init`)).ok);
  await node.clock.pass(lingerMs + 100);
  assert.deepEqual(await node.sightings(), []);
  assert.equal((await node.events()).filter(({ type }) => type === 'DeviceAttached').length, 1);
});

test('an init layer alone does not keep a device for good, whatever autoRemoveDev says', async () => {
  const node = await nodeWith({ autoRemoveDev: false });
  const key = `moby/1/${hexOf('x')}-init-key`;
  assert.ok((await node.prepare(key, 'top')).ok);
  assert.ok((await node.remove(key)).ok);
  await node.clock.pass(lingerMs + 100);
  assert.deepEqual(await node.sightings(), []);
});

test('R-12, R-13: a container that is stopped has its device after kill -9, a reboot and a loss', async () => {
  const node = await nodeWith();
  await create(node, 'first');
  const before = await mounts(node, 'first');
  for (const happens of ['crash', 'reboot'] as const) {
    await node[happens]();
    assert.deepEqual(await mounts(node, 'first'), before);
    await isThere(node);
  }
  node.loseDevices();
  await node.clock.pass(60_000);
  await isThere(node);
});

test('a committed image, which lies on the init layer of its container, runs', async () => {
  const node = await nodeWith();
  const initId = await create(node, 'first');
  const init = `moby/1/${hexOf('first')}-init`;
  const viewed = await node.call((engine, call) =>
    engine.view({ key: `${init}-parent-view-7-a_`, parent: init, labels: {} }, call),
  );
  assert.deepEqual(optionsOf(viewed), [`lowerdir=/s/${initId}/fs:${overDevice}`]);
  await node.remove(`${init}-parent-view-7-a_`);
  // What Docker unpacks there is files, even if they look like a block layer.
  await node.unpack('committed', init);
  assert.ok((await node.remove(`moby/1/${hexOf('first')}`)).ok);
  const layerId = initId + 3;
  const key = `moby/1/${hexOf('next')}`;
  const prepared = await node.prepare(`${key}-init-key`, 'committed');
  assert.deepEqual(optionsOf(prepared), ['rw', 'rbind']);
  await node.call((engine, call) =>
    engine.commit({ key: `${key}-init-key`, name: `${key}-init`, labels: {}, parent: '' }, call),
  );
  const options = optionsOf(await node.prepare(key, `${key}-init`));
  const lowers = [layerId + 1, layerId, initId].map((id) => `/s/${id}/fs`);
  assert.equal(options.at(-1), `lowerdir=${[...lowers, overDevice].join(':')}`);
  const refused = await node.remove(init);
  assert.ok(!refused.ok && refused.rejection.code === 'failed_precondition');
});

for (const [from, to] of [
  ['docker', 'containerd'],
  ['containerd', 'docker'],
] as const) {
  test(`images and containers made with runtimeType ${from} are usable with ${to}`, async () => {
    const node = new BlockNode({ runtimeType: from });
    await node.start();
    await node.unpack('base');
    await node.unpack('top', 'base');
    const key = `moby/1/${hexOf('old')}`;
    const opened = await node.prepare(`${key}-init-key`, 'top');
    node.runtimeType = to;
    await node.crash();
    // Begun with one, it is ended with the other.
    const again = await node.call((engine, call) => engine.mounts(`${key}-init-key`, call));
    assert.deepEqual(again, opened);
    await node.call((engine, call) =>
      engine.commit({ key: `${key}-init-key`, name: `${key}-init`, labels: {}, parent: '' }, call),
    );
    const options = optionsOf(await node.prepare(key, `${key}-init`));
    assert.equal(options.at(-1), `lowerdir=/s/3/fs:${overDevice}`);
    assert.equal(optionsOf(await node.prepare('new', 'top')).at(-1), `lowerdir=${overDevice}`);
    for (const name of ['new', key, `${key}-init`]) assert.ok((await node.remove(name)).ok);
    await node.clock.pass(lingerMs + 100);
    assert.deepEqual(await node.sightings(), []);
  });
}

test('keys that only contain -init are containers’', async () => {
  const node = await nodeWith();
  for (const key of [
    'default/1/web-init-db',
    'default/2/x-init',
    `default/3/${hexOf('x')}-init-`,
  ]) {
    assert.equal(optionsOf(await node.prepare(key, 'top')).at(-1), `lowerdir=${overDevice}`, key);
  }
  assert.deepEqual(purposes(node), ['container', 'container', 'container']);
});
