// Devices of which nothing is known, as a log that was repaired leaves them: they go beside the
// calls that are served, again and again, and what concerns the same snapshot waits for that.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writableLabel } from '../../src/machines/snapshot/writable.ts';
import { nodeWithImage, type BlockNode } from './block-node.ts';

/** The ids of the layer `top`, of what is prepared next, and of what never came to be. */
const top = 2;
const box = 3;
const orphan = 99;
const dir = { [writableLabel]: 'dir' };
const busy = { step: 'close', code: 'EBUSY', message: 'in use by sh (12)' } as const;

/** Longer than any pause between two attempts. */
const longMs = 400_000;

const mounted = (deviceId: number) => ({
  deviceId,
  path: `/dev/memory${deviceId}`,
  isMounted: true,
});

/** A removal is in flight, and the log has lost what it knew of the device of that snapshot. */
async function nodeWithRemoval(whileDown?: (node: BlockNode) => void): Promise<BlockNode> {
  const node = await nodeWithImage();
  await node.prepare('box', 'top', dir);
  node.hang('detach');
  assert.ok((await node.remove('box')).ok);
  await node.clock.pass(1);
  await node.repair(
    ({ stream }) => stream === `device-${box}`,
    () => whileDown?.(node),
  );
  return node;
}

test('any number of them that hang keep no start, and no other device', async () => {
  const node = await nodeWithImage();
  for (let id = 100; id < 130; id += 1) await node.leaveStray(id);
  await node.crash(() => node.hang('unmount'));
  node.keepHanging('unmount', new Set(Array.from({ length: 30 }, (_, index) => 100 + index)));
  assert.ok((await node.prepare('box', 'top')).ok);
  assert.ok((await node.remove('box')).ok);
  await node.clock.pass(60_000);
  assert.equal(node.standing(top), 'absent');
  node.letGoOn('unmount');
  await node.clock.pass(1_000);
  assert.deepEqual(await node.sightings(), []);
});

test('a removal in flight goes on when the device of its snapshot is gone', async () => {
  const node = await nodeWithRemoval((down) => down.hang('detach'));
  await node.clock.pass(1_000);
  assert.ok(node.directories.has(box));
  node.letGoOn('detach');
  await node.clock.pass(1_000);
  assert.deepEqual(await node.sightings(), []);
  assert.ok(!node.directories.has(box));
});

test('one that is in use goes when it can, without another start; Cleanup says why it stays', async () => {
  const node = await nodeWithRemoval((down) => down.failing.set('detach', busy));
  await node.clock.until(node.engine.recovered());
  await node.clock.pass(longMs);
  const cleanup = await node.call((engine, call) => engine.cleanup(call));
  assert.ok(!cleanup.ok);
  assert.equal(cleanup.rejection.code, 'failed_precondition');
  assert.match(cleanup.rejection.message, /in use by sh/);
  assert.ok(node.directories.has(box));
  node.failing.clear();
  await node.clock.pass(longMs);
  assert.deepEqual(await node.sightings(), []);
  assert.ok(!node.directories.has(box));
});

test('Cleanup tries at once', async () => {
  const node = await nodeWithRemoval((down) => down.failing.set('detach', busy));
  await node.clock.pass(longMs);
  node.failing.clear();
  assert.deepEqual(await node.call((engine, call) => engine.cleanup(call)), {
    ok: true,
    value: undefined,
  });
  assert.ok(!node.directories.has(box));
});

test('whoever needs its device waits for the attempt that runs, and has one', async () => {
  const node = await nodeWithImage();
  await node.leaveStray(top);
  await node.crash(() => node.hang('detach'));
  const preparing = node.begin((engine, call) =>
    engine.prepare({ key: 'box', parent: 'top', labels: {} }, call),
  );
  await node.clock.pass(1_000);
  assert.equal(node.standing(top), 'attaching');
  node.letGoOn('detach');
  assert.ok((await node.clock.until(preparing)).ok);
  await node.clock.pass(longMs);
  assert.deepEqual(await node.sightings(), [mounted(top)]);
});

test('one that is in use is taken up by whoever needs it, and stays', async () => {
  const node = await nodeWithImage();
  await node.leaveStray(top);
  node.failing.set('detach', busy);
  await node.crash();
  await node.clock.pass(1_000);
  assert.ok((await node.prepare('box', 'top')).ok);
  node.failing.clear();
  await node.clock.pass(longMs);
  assert.deepEqual(await node.sightings(), [mounted(top)]);
  const types = (await node.events()).map(({ type }) => type);
  assert.ok(!types.includes('DeviceLost'), 'nobody takes it away in between');
});

test('the directory of one that never came to be goes after it', async () => {
  const node = await nodeWithImage();
  node.directories.add(orphan).add(orphan + 1);
  await node.leaveStray(orphan);
  node.failing.set('detach', busy);
  await node.crash();
  await node.clock.until(node.engine.recovered());
  assert.deepEqual([...node.directories], [1, top, orphan]);
  node.failing.clear();
  await node.clock.pass(longMs);
  assert.deepEqual([...node.directories], [1, top]);
  assert.deepEqual(await node.sightings(), []);
});
