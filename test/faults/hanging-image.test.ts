// An image whose layer lies on a disk that hangs, among twenty that do not: real varve serve, real
// varve-bd, real devices.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { attachConcurrencyMax, imageConcurrencyMax } from '../../src/engine/limits.ts';
import { blockLayers, BlockNode } from '../cli/block-node.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { devicesOf } from './devices.ts';
import { hangingDisk, type HangingDisk } from './hanging-disk.ts';

const writes = { 'containerd.io/snapshot/overlaybd.writable': 'dir' };
const effectDeadlineMs = 5_000;
const images = Array.from({ length: 20 }, (_, index) => `default/1/image-${index}`);
const stuck = 'default/1/stuck';

function report(t: TestContext, name: string, durationsMs: readonly number[]): void {
  const sorted = [...durationsMs].sort((a, b) => a - b);
  const at = (share: number): string =>
    (sorted[Math.ceil(sorted.length * share) - 1] ?? 0).toFixed(0);
  t.diagnostic(`${name}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
}

describe('an image that hangs', { skip: deviceObstacle() ?? false, timeout: 120_000 }, () => {
  let node: BlockNode;
  let disk: HangingDisk;

  before(async () => {
    node = await BlockNode.start({ effectDeadlineMs, lingerMs: 0 });
    const [layer] = await blockLayers(path.join(node.scratch.path, 'layers'));
    const id = await node.unpack(layer, { name: stuck, parent: '' });
    for (const name of images) await node.unpack(layer, { name, parent: '' });
    disk = await hangingDisk(node.scratch);
    await disk.takeOver(path.join(node.root, 'snapshots', `${id}`, 'fs', 'overlaybd.commit'));
  });
  after(() => node?.scratch.dispose());

  /** 100 containers over all images; answers how long each Prepare took. */
  async function prepareAll(round: string): Promise<readonly number[]> {
    const durationsMs: number[] = [];
    const one = async (index: number): Promise<void> => {
      const beganMs = performance.now();
      await node.prepare(`default/2/${round}-${index}`, images[index % images.length]);
      durationsMs.push(performance.now() - beganMs);
    };
    await Promise.all(Array.from({ length: 100 }, (_, index) => one(index)));
    return durationsMs;
  }

  const removeAll = async (round: string): Promise<void> => {
    const keys = Array.from({ length: 100 }, (_, index) => `default/2/${round}-${index}`);
    const removed = await Promise.all(keys.map((key) => node.remove(key)));
    assert.ok(removed.every(({ code }) => code === status.OK));
    await waitUntil('no device is left', async () => (await devicesOf(node)).length === 0);
  };

  test('R-01: delays no other, gives its places back, and works when its disk answers', async (t) => {
    report(t, 'nothing hangs', await prepareAll('quiet'));
    await removeAll('quiet');

    disk.hang();
    // More than the node has places, each with a device of its own.
    const ends: Promise<{ readonly code: number; readonly details: string }>[] = [];
    for (let index = 0; index < attachConcurrencyMax + 2; index += 1) {
      ends.push(node.tryPrepare(`default/2/stuck-${index}`, stuck, writes));
    }
    const openingCount = async (): Promise<number> =>
      (await devicesOf(node)).filter(({ state }) => state === 'opening').length;
    await waitUntil('its share hangs', async () => (await openingCount()) >= imageConcurrencyMax);
    const free = node.tryPrepare('default/2/free', images[0]);
    assert.equal(await Promise.race([free, ...ends]), await free, 'the other one is not held up');
    report(t, 'one image hangs', await prepareAll('beside'));

    const first = await Promise.race(ends);
    assert.equal(status[first.code], 'UNAVAILABLE', first.details);
    assert.match(first.details, /open failed with ETIMEDOUT/);
    disk.goOn();
    const codes = (await Promise.all(ends)).map(({ code }) => status[code]);
    assert.deepEqual(new Set(codes), new Set(['UNAVAILABLE', 'OK']));
    for (const [index, code] of codes.entries()) {
      if (code === 'OK') await node.remove(`default/2/stuck-${index}`);
    }
    await node.prepare('default/2/again', stuck, writes);
    assert.equal((await node.remove('default/2/again')).code, status.OK);
    assert.equal((await node.remove('default/2/free')).code, status.OK);
    await removeAll('beside');
  });
});
