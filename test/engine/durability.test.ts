// Nothing leaves a node before it is durable: no answer to a change, none to a read of it, no
// checkpoint.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LongLivedNode } from './long-lived-node.ts';

async function nodeWithSnapshot(): Promise<LongLivedNode> {
  const node = new LongLivedNode({});
  await node.start();
  await node.prepare('lives');
  return node;
}

/** What has ended after a while, in the order in which it did. */
async function endedOf(
  node: LongLivedNode,
  calls: Readonly<Record<string, Promise<unknown>>>,
): Promise<readonly string[]> {
  const ended: string[] = [];
  for (const [name, call] of Object.entries(calls)) {
    void call.then(
      () => ended.push(name),
      () => ended.push(`${name} failed`),
    );
  }
  await node.clock.pass(1_000);
  return ended;
}

test('a change, and a read of what it changed, are answered once the change is durable', async () => {
  const node = await nodeWithSnapshot();
  const { engine } = node;
  const call = { cause: { kind: 'rpc', requestId: 'request' }, deadlineMs: 1e9 } as const;
  const release = node.holdAppends();
  const change = { name: 'lives', labels: { value: 'changed' }, paths: [] };
  const changing = engine.update(change, call);
  await node.clock.pass(1);
  const reading = Promise.resolve(engine.stat('lives', call));
  const mounting = Promise.resolve(engine.mounts('lives', call));
  const listing = Promise.resolve(engine.list([], call));
  const missing = Promise.resolve(engine.stat('other', call));
  const calls = { changing, reading, mounting, listing, missing };
  assert.deepEqual(await endedOf(node, calls), []);
  release();
  assert.equal((await endedOf(node, calls)).length, 5);
  const read = await reading;
  assert.deepEqual(read.ok && read.value.labels, { value: 'changed' });
});

test('a checkpoint that is asked for while a change is on its way waits until that is durable', async () => {
  const node = await nodeWithSnapshot();
  const release = node.holdAppends();
  const changing = node.relabel('lives', 'changed');
  await Promise.resolve();
  const storing = node.engine.storeCheckpoint();
  assert.deepEqual(await endedOf(node, { storing }), []);
  release();
  const atSeq = await node.clock.until(storing);
  await changing;
  assert.equal(atSeq, node.store.lastSeq);
  assert.deepEqual(await node.store.readCheckpoint(), node.engine.checkpoint());
});
