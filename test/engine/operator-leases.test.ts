// Devices that an operator attaches: there until they are given back, whatever happens meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttachedLayer, DetachedLayer } from '../../src/engine/api.ts';
import type { RejectionCode, Result } from '../../src/machines/kernel/rejection.ts';
import { lingerMs, nodeWithImage, type BlockNode } from './block-node.ts';

const top = 2;
const eio = { step: 'open', code: 'EIO', message: 'the layer is damaged', path: '/l' } as const;
const ebusy = { step: 'umount', code: 'EBUSY', message: 'a shell sits in it', path: '/m' } as const;

const attach = (node: BlockNode, name = 'top'): Promise<Result<AttachedLayer>> =>
  node.call((engine, call) => engine.attach(name, call));

const detach = (node: BlockNode, name = 'top'): Promise<Result<DetachedLayer>> =>
  node.call((engine, call) => engine.detach(name, call));

function value<Value>(result: Result<Value>): Value {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

function refusedWith(result: Result<unknown>, code: RejectionCode, message: RegExp): void {
  assert.ok(!result.ok, JSON.stringify(result));
  assert.equal(result.rejection.code, code);
  assert.match(result.rejection.message, message);
}

const purposes = (node: BlockNode): readonly string[] =>
  (node.device(top)?.context.leases ?? []).map(({ purpose }) => purpose);

test('attach answers where the device is; asked again, the same', async () => {
  const node = await nodeWithImage();
  const expected = {
    deviceId: top,
    path: '/dev/memory2',
    sizeBytes: 1 << 20,
    fileSystem: 'ext4',
    mountPoint: '/s/2/block/mountpoint',
  };
  assert.deepEqual(value(await attach(node)), { ...expected, wasAttached: false });
  assert.deepEqual(value(await attach(node, '#2')), { ...expected, wasAttached: true });
  assert.deepEqual(purposes(node), ['operator']);
  const leased = (await node.events()).filter(({ type }) => type === 'DeviceLeased');
  assert.equal(leased.length, 1);
});

test('it does not linger, over a crash and a reboot, until it is given back: then it goes at once', async () => {
  const node = await nodeWithImage();
  await attach(node);
  await node.crash();
  assert.equal(node.standing(top), 'ready');
  await node.clock.pass(lingerMs * 3);
  await node.reboot();
  await node.clock.pass(lingerMs * 3);
  assert.equal(node.standing(top), 'ready');
  assert.equal((await node.sightings()).length, 1);
  const detached = value(await detach(node));
  assert.deepEqual(detached, { deviceId: top, wasAttached: true, state: 'absent', leases: [] });
  assert.deepEqual(await node.sightings(), []);
  assert.equal(value(await detach(node)).wasAttached, false);
});

test('a device that a container leases stays, and who leases it is told', async () => {
  const node = await nodeWithImage();
  await attach(node);
  await node.prepare('box', 'top');
  const { state, leases } = value(await detach(node));
  assert.equal(state, 'ready');
  assert.deepEqual(leases, [{ snapshotId: 3, key: 'box', purpose: 'container' }]);
  // What a container leases is not an operator's to give back.
  assert.equal(value(await detach(node)).leases.length, 1);
  assert.equal((await node.sightings()).length, 1);
});

test('the container gone, an operator has it still', async () => {
  const node = await nodeWithImage();
  await node.prepare('box', 'top');
  await attach(node);
  await node.remove('box');
  await node.clock.pass(lingerMs * 3);
  assert.equal(node.standing(top), 'ready');
});

test('one that is to be kept stays when it is given back', async () => {
  const node = await nodeWithImage({ autoRemoveDev: false });
  await attach(node);
  await node.prepare('box', 'top');
  await node.remove('box');
  assert.equal(value(await detach(node)).state, 'kept');
  assert.equal((await node.sightings()).length, 1);
});

test('one that no container has used goes, also where devices are kept', async () => {
  const node = await nodeWithImage({ autoRemoveDev: false });
  await attach(node);
  assert.equal(value(await detach(node)).state, 'absent');
});

test('its layer is not removed before it is given back', async () => {
  const node = await nodeWithImage();
  await attach(node);
  refusedWith(await node.remove('top'), 'failed_precondition', /varve detach '#2'/);
  await detach(node);
  assert.ok((await node.remove('top')).ok);
});

test('an attach that fails leaves no lease, and says why', async () => {
  const node = await nodeWithImage();
  node.failing.set('attach', eio);
  refusedWith(await attach(node), 'unknown', /could not be attached: .*the layer is damaged/);
  assert.deepEqual(purposes(node), []);
  assert.equal(node.standing(top), 'absent');
  node.failing.delete('attach');
  assert.equal(value(await attach(node)).path, '/dev/memory2');
});

test('a device in use is given back, says by whom, and goes when they do', async () => {
  const node = await nodeWithImage();
  await attach(node);
  node.failing.set('unmount', ebusy);
  refusedWith(await detach(node), 'failed_precondition', /given back, but .* a shell sits in it/);
  refusedWith(await detach(node), 'failed_precondition', /a shell sits in it/);
  assert.deepEqual(purposes(node), []);
  // Asked again, it is tried at once, however long the pause has become.
  await node.clock.pass(3_600_000);
  node.failing.delete('unmount');
  const askedAtUs = node.clock.nowUs();
  assert.equal(value(await detach(node)).state, 'absent');
  assert.ok(node.clock.nowUs() - askedAtUs < 1_000_000);
});

test('an attempt that began before detach was asked again does not speak for it', async () => {
  const node = await nodeWithImage();
  await attach(node);
  node.failing.set('unmount', ebusy);
  refusedWith(await detach(node), 'failed_precondition', /a shell sits in it/);
  node.hang('unmount');
  await node.clock.pass(1_000);
  const detaching = node.begin((engine, call) => engine.detach('top', call));
  await node.clock.pass(1);
  // The attempt under way is the last one that fails.
  let isFirst = true;
  node.failing.get = (step) => {
    const failure = step === 'unmount' && isFirst ? ebusy : undefined;
    isFirst = false;
    return failure;
  };
  node.letGoOn('unmount');
  assert.equal(value(await node.clock.until(detaching)).state, 'absent');
});

test('what has no device is refused, with what has one', async () => {
  const node = await nodeWithImage();
  refusedWith(await attach(node, 'nothing'), 'not_found', /"nothing" does not exist/);
  refusedWith(await attach(node, '#7'), 'not_found', /does not exist/);
  node.unpacksBlocks = false;
  await node.unpack('files', 'top');
  refusedWith(await attach(node, 'files'), 'failed_precondition', /nearest one below it is "top"/);
  await node.unpack('plain');
  refusedWith(await detach(node, 'plain'), 'failed_precondition', /none below it either/);
  await node.prepare('box', 'top');
  refusedWith(await attach(node, 'box'), 'failed_precondition', /not a block layer/);
});

test('what an operator does is recorded as an operator’s', async () => {
  const node = await nodeWithImage();
  const cause = { kind: 'operator', method: 'Attach', requestId: 'r7' } as const;
  await node.clock.until(node.engine.attach('top', { cause, deadlineMs: 1e9 }));
  const leased = (await node.events()).find(({ type }) => type === 'DeviceLeased');
  assert.deepEqual(leased?.cause, cause);
});
