// Attaches share the node: those of one image that hang take some of its places, never all.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attachConcurrencyMax, imageConcurrencyMax } from '../../src/engine/limits.ts';
import { BlockNode } from './block-node.ts';

const writes = { 'containerd.io/snapshot/overlaybd.writable': 'dir' };
const images = Array.from({ length: 20 }, (_, index) => `image-${index}`);
const late = { step: 'open', code: 'ETIMEDOUT', message: 'not done in time' } as const;

/** Twenty images; `stuck` is another one, whose attaches hang. */
async function nodeWithImages(): Promise<BlockNode> {
  const node = new BlockNode();
  await node.start();
  await node.unpack('stuck');
  for (const image of images) await node.unpack(image);
  return node;
}

/** Begins more Prepares of `stuck`, each with a device of its own, than the node has places. */
function beginStuck(node: BlockNode) {
  const keys = Array.from({ length: attachConcurrencyMax + 9 }, (_, index) => `stuck-${index}`);
  return keys.map((key) =>
    node.begin((engine, call) => engine.prepare({ key, parent: 'stuck', labels: writes }, call)),
  );
}

test('100 Prepares over 20 images are not delayed by attaches of one more that hang', async () => {
  const node = await nodeWithImages();
  // They have no ids yet, so all hang that are attached now.
  node.hang('attach');
  const hanging = beginStuck(node);
  await node.clock.pass(10);
  const stuck = new Set(node.attaching);
  assert.equal(stuck.size, imageConcurrencyMax);
  const free = node.keepHanging('attach', stuck);

  const prepared = await Promise.all(
    Array.from({ length: 100 }, (_, index) =>
      // Four of five share the device of their image, the others have their own.
      node.prepare(`box-${index}`, images[index % 20] ?? '', index % 5 === 0 ? writes : {}),
    ),
  );
  assert.ok(prepared.every(({ ok }) => ok));
  assert.deepEqual(new Set(node.attaching), stuck, 'only the image that hangs still does');

  free();
  const ended = await node.clock.until(Promise.all(hanging));
  assert.ok(ended.every(({ ok }) => ok));
});

test('an attach that hangs gives its place back at its deadline', async () => {
  const node = await nodeWithImages();
  node.failing.set('attach', late);
  node.hang('attach');
  const hanging = beginStuck(node);
  await node.clock.pass(10);
  assert.equal(node.attaching.length, imageConcurrencyMax);
  node.letGoOn('attach');
  const ended = await node.clock.until(Promise.all(hanging));
  for (const one of ended) {
    assert.ok(!one.ok);
    assert.match(one.rejection.message, /ETIMEDOUT: not done in time/);
  }
  node.failing.clear();
  assert.ok((await node.prepare('after', 'stuck', writes)).ok);
});

test('layers that images have in common are one image to it', async () => {
  const node = await nodeWithImages();
  const tops = Array.from({ length: 10 }, (_, index) => `top-${index}`);
  for (const top of tops) await node.unpack(top, 'stuck');
  node.hang('attach');
  const hanging = tops.map((parent, index) =>
    node.begin((engine, call) => engine.prepare({ key: `box-${index}`, parent, labels: {} }, call)),
  );
  await node.clock.pass(10);
  assert.equal(node.attaching.length, imageConcurrencyMax);
  node.letGoOn('attach');
  assert.ok((await node.clock.until(Promise.all(hanging))).every(({ ok }) => ok));
});
