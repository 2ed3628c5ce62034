// Layers that are read from a registry, as clients that pull see them: committed at Prepare where
// that is possible, staged where the parent comes with Commit, downloaded where nothing can read
// them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockNode, type BlockNodeOptions } from './block-node.ts';

const prefix = 'containerd.io/snapshot';
const chainId = (layer: number): string => `sha256:${String(layer).repeat(64)}`;

const labelsOf = (layer: number, more: Record<string, string> = {}): Record<string, string> => ({
  [`${prefix}.ref`]: chainId(layer),
  [`${prefix}/overlaybd/blob-digest`]: `sha256:${'d'.repeat(64)}`,
  [`${prefix}/overlaybd/blob-size`]: '4096',
  [`${prefix}/cri.image-ref`]: 'docker.io/library/redis:7',
  ...more,
});

const keyOf = (layer: number): string => `extract-${layer} ${chainId(layer)}`;

async function nodeWith(options: BlockNodeOptions = { remoteLayers: true }): Promise<BlockNode> {
  const node = new BlockNode(options);
  await node.start();
  return node;
}

async function pull(node: BlockNode, layer: number, parent: string, more = {}) {
  return node.prepare(keyOf(layer), parent, labelsOf(layer, more));
}

async function assertExists(answer: ReturnType<typeof pull>): Promise<void> {
  const result = await answer;
  assert.ok(!result.ok);
  assert.equal(result.rejection.code, 'already_exists', result.rejection.message);
}

const committed = (node: BlockNode, name: string) =>
  node.engine.checkpoint().snapshots.find(({ context }) => context.key === name);

test('its Prepare commits a layer under the name that the client expects', async () => {
  const node = await nodeWith();
  await assertExists(pull(node, 1, ''));
  await assertExists(pull(node, 2, chainId(1)));
  const state = committed(node, chainId(2));
  assert.equal(state?.value.lifecycle, 'committed');
  assert.equal(state.value.backing, 'remoteBlock');
  assert.equal(state.context.parent, chainId(1));
  assert.equal(
    state.context.labels[`${prefix}.ref`],
    chainId(2),
    'the client looks for it by this',
  );
  assert.equal(state.context.labels[`${prefix}/remote`], 'remote snapshot');
  // It does not stay under the key of its unpack.
  const stat = await node.call((engine, call) => engine.stat(keyOf(2), call));
  assert.ok(!stat.ok);
  // Containers on it share its device.
  const mounts = await node.prepare('box', chainId(2));
  assert.ok(mounts.ok);
  assert.equal(mounts.value[0]?.options.at(-1), 'lowerdir=/s/2/block/mountpoint');
});

test('a second pull finds it, and both are told the same at the same time', async () => {
  const node = await nodeWith();
  node.hang('describe');
  const first = node.begin((engine, call) =>
    engine.prepare({ key: 'one', parent: '', labels: labelsOf(1) }, call),
  );
  const second = node.begin((engine, call) =>
    engine.prepare({ key: 'two', parent: '', labels: labelsOf(1) }, call),
  );
  let isAnswered = false;
  void second.then(() => (isAnswered = true));
  await node.clock.pass(1);
  assert.ok(!isAnswered, 'whoever is told that it exists looks for it at once');
  node.letGoOn('describe');
  for (const result of await node.clock.until(Promise.all([first, second]))) {
    assert.ok(!result.ok && result.rejection.code === 'already_exists');
  }
  assert.equal(node.engine.checkpoint().snapshots.length, 1);
  assert.deepEqual([...node.directories], [1]);
});

test('R-22: a parallel unpack is never told that its layer exists: it gets its parent at Commit', async () => {
  const node = await nodeWith();
  await assertExists(pull(node, 1, ''));
  const mounts = await pull(node, 2, '', { [`${prefix}/parent-chain-id`]: chainId(1) });
  assert.deepEqual(mounts, {
    ok: true,
    value: [{ type: 'bind', source: '/s/2/fs', options: ['ro', 'rbind'] }],
  });
  const labels = labelsOf(2);
  const ended = await node.call((engine, call) =>
    engine.commit({ key: keyOf(2), name: chainId(2), labels, parent: chainId(1) }, call),
  );
  assert.ok(ended.ok);
  const state = committed(node, chainId(2));
  assert.equal(state?.value.backing, 'remoteBlock');
  assert.equal(state.context.parent, chainId(1));
});

test('R-22: a layer of that name on another parent is not the one that is asked for', async () => {
  const node = await nodeWith();
  await assertExists(pull(node, 1, ''));
  await assertExists(pull(node, 2, chainId(1)));
  await assertExists(pull(node, 3, chainId(1)));
  // The client looks for it by its label and its parent, and would not find it.
  const mounts = await node.prepare('extract-again', chainId(2), labelsOf(3));
  assert.ok(mounts.ok);
  assert.equal(mounts.value[0]?.type, 'overlay');
});

test('the directory of a layer that is being described is nobody’s orphan', async () => {
  const node = await nodeWith();
  node.hang('describe');
  const pulling = pull(node, 1, '');
  await node.clock.pass(1);
  assert.deepEqual([...node.directories], [1]);
  assert.deepEqual((await node.engine.startPlan()).boot.orphans, []);
  node.letGoOn('describe');
  await assertExists(pulling);
});

test('without the key, or with no word of where the blob lies, the layer is downloaded', async () => {
  const download = { [`${prefix}/overlaybd/download-remote-blob`]: 'download' };
  const off = await nodeWith({});
  const on = await nodeWith();
  for (const [node, more] of [
    [off, {}],
    [on, download],
    [on, { [`${prefix}/overlaybd/blob-size`]: 'large' }],
    [on, { [`${prefix}/cri.image-ref`]: '../etc' }],
  ] as const) {
    const key = `extract-${JSON.stringify(more)} ${chainId(1)}`;
    const mounts = await node.prepare(key, '', labelsOf(1, more));
    assert.ok(mounts.ok);
    assert.equal(mounts.value[0]?.options[0], 'rw');
  }
});

test('a layer that cannot be read from its registry is downloaded', async () => {
  const node = await nodeWith();
  node.failing.set('describe', { step: 'read-layer', code: 'EIO', message: 'no registry' });
  const mounts = await pull(node, 1, '');
  assert.ok(mounts.ok);
  assert.equal(mounts.value[0]?.options[0], 'rw');
  assert.equal(node.directories.size, 1);
});

test('above ordinary layers a layer is downloaded: no device holds those', async () => {
  const node = await nodeWith();
  node.unpacksBlocks = false;
  await node.unpack('files');
  const mounts = await pull(node, 2, 'files');
  assert.ok(mounts.ok);
  assert.equal(mounts.value[0]?.type, 'overlay');
});

test('a parallel unpack whose Commit names an ordinary parent is refused, and goes on as it was', async () => {
  const node = await nodeWith();
  node.unpacksBlocks = false;
  await node.unpack('files');
  await pull(node, 2, '', { [`${prefix}/parent-chain-id`]: chainId(1) });
  const ended = await node.call((engine, call) =>
    engine.commit({ key: keyOf(2), name: chainId(2), labels: labelsOf(2), parent: 'files' }, call),
  );
  assert.ok(!ended.ok);
  assert.equal(ended.rejection.code, 'failed_precondition');
  assert.match(ended.rejection.message, /"files" is an ordinary layer.*download-remote-blob/);
  const stat = await node.call((engine, call) => engine.stat(keyOf(2), call));
  assert.equal(stat.ok && stat.value.kind, 'active');
  assert.ok((await node.remove(keyOf(2))).ok);
});

test('what was committed at Prepare outlives kill -9', async () => {
  const node = await nodeWith();
  await assertExists(pull(node, 1, ''));
  await node.crash();
  assert.equal(committed(node, chainId(1))?.value.backing, 'remoteBlock');
  await node.clock.pass(10);
  assert.deepEqual([...node.directories], [1]);
});
