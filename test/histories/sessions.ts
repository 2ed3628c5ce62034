// The scripted sessions whose histories are kept: together they hold every event type of snapshots
// in every place that the machines allow, and what starts, crashes and compaction leave in a log.
import assert from 'node:assert/strict';
import type { Call, Engine } from '../../src/engine/api.ts';
import type { Result } from '../../src/machines/kernel/rejection.ts';
import type { RecordedNode } from './record.ts';

export interface Session {
  readonly name: string;
  readonly runtimeType: 'containerd' | 'docker';
  readonly asyncRemove: boolean;
  readonly run: (node: RecordedNode) => Promise<void>;
}

let callCount = 0;

function call(method: string): Call {
  callCount += 1;
  const requestId = `request-${String(callCount).padStart(4, '0')}`;
  return { cause: { kind: 'rpc', method, requestId, namespace: 'default' }, deadlineMs: 60_000 };
}

async function accept<Value>(answer: Promise<Result<Value>>): Promise<Value> {
  const result = await answer;
  assert.ok(result.ok, result.ok ? '' : result.rejection.message);
  return result.value;
}

async function refuse(answer: Promise<Result<unknown>>): Promise<void> {
  assert.ok(!(await answer).ok, 'the session expects a refusal');
}

const chainId = (layer: number): string => `sha256:${String(layer).repeat(64)}`;

interface Layer {
  readonly layer: number;
  /** At Prepare, at Commit; '' for none. */
  readonly parents: readonly [string, string];
  /** Besides those that every unpack has. */
  readonly more?: Readonly<Record<string, string>>;
}

async function unpack(engine: Engine, { layer, parents, more }: Layer): Promise<string> {
  const key = `default/${layer}/extract-${layer}00-a ${chainId(layer)}`;
  const name = `default/${layer}0/${chainId(layer)}`;
  const labels: Record<string, string> = { 'containerd.io/snapshot.ref': chainId(layer), ...more };
  if (layer > 1) labels['containerd.io/snapshot/parent-chain-id'] = chainId(layer - 1);
  await accept(engine.prepare({ key, parent: parents[0], labels }, call('Prepare')));
  await accept(engine.commit({ name, key, labels, parent: parents[1] }, call('Commit')));
  return name;
}

async function containers(node: RecordedNode): Promise<void> {
  const { engine } = node;
  const first = await unpack(engine, { layer: 1, parents: ['', ''] });
  const second = await unpack(engine, { layer: 2, parents: [first, ''] });
  // A parallel unpack brings its parent at Commit.
  const top = await unpack(engine, { layer: 3, parents: ['', second] });
  for (const key of ['default/50/web', 'default/51/db']) {
    await accept(engine.prepare({ key, parent: top, labels: {} }, call('Prepare')));
  }
  await accept(engine.view({ key: 'default/52/look', parent: top, labels: {} }, call('View')));
  const gone = 'default/50/web';
  const labels = JSON.parse('{"__proto__":"a label","containerd.io/snapshot/é":"x"}') as object;
  const update = { name: gone, labels: { ...labels }, paths: [] };
  await accept(engine.update(update, call('Update')));
  await accept(
    engine.update({ name: top, labels: { a: '1' }, paths: ['labels.a'] }, call('Update')),
  );
  await refuse(engine.remove(first, call('Remove')));
  await accept(engine.remove('default/52/look', call('Remove')));
  await accept(engine.remove(gone, call('Remove')));
  await accept(engine.prepare({ key: gone, parent: top, labels: {} }, call('Prepare')));
  await accept(engine.cleanup(call('Cleanup')));
}

async function docker(node: RecordedNode): Promise<void> {
  const { engine } = node;
  const hex = '5e0ca3b526d958e0'.repeat(4);
  const top = await unpack(engine, { layer: 1, parents: ['', ''] });
  const initKey = `moby/4/${hex}-init-key`;
  const init = `moby/5/${hex}-init`;
  await accept(engine.prepare({ key: initKey, parent: top, labels: {} }, call('Prepare')));
  await accept(engine.commit({ key: initKey, name: init, labels: {}, parent: '' }, call('Commit')));
  await accept(engine.prepare({ key: `moby/6/${hex}`, parent: init, labels: {} }, call('Prepare')));
  const view = `moby/10/${hex}-init-parent-view-777133103-AQi_`;
  await accept(engine.view({ key: view, parent: init, labels: {} }, call('View')));
  // asyncRemove: the directories wait for Cleanup, one of them beyond the end of this history.
  await accept(engine.remove(view, call('Remove')));
  await accept(engine.cleanup(call('Cleanup')));
  await accept(engine.remove(`moby/6/${hex}`, call('Remove')));
}

async function failures(node: RecordedNode): Promise<void> {
  const labels = {};
  node.fail('create');
  await refuse(node.engine.prepare({ key: 'a', parent: '', labels }, call('Prepare')));
  await accept(node.engine.prepare({ key: 'a', parent: '', labels }, call('Prepare')));
  node.fail('usage');
  await refuse(node.engine.commit({ key: 'a', name: 'l', labels, parent: '' }, call('Commit')));
  await accept(node.engine.commit({ key: 'a', name: 'l', labels, parent: '' }, call('Commit')));
  await accept(node.engine.prepare({ key: 'b', parent: 'l', labels }, call('Prepare')));
  await accept(node.engine.prepare({ key: 'c', parent: 'l', labels }, call('Prepare')));
  node.fail('remove');
  await accept(node.engine.remove('b', call('Remove')));
  await node.recorded('SnapshotRemoveFailed');
  await accept(node.engine.cleanup(call('Cleanup')));
  // The program dies in the middle of a deletion, with a directory that no event explains.
  node.hold('remove');
  await accept(node.engine.remove('c', call('Remove')));
  node.leaveOrphan(900);
  await node.restart('crash');
  await node.recorded('OrphansRemoved');
  await accept(node.engine.cleanup(call('Cleanup')));
  await accept(node.engine.prepare({ key: 'd', parent: 'l', labels }, call('Prepare')));
  await node.restart('stop');
  await accept(node.engine.view({ key: 'e', parent: 'l', labels }, call('View')));
}

async function compacted(node: RecordedNode): Promise<void> {
  await containers(node);
  const { engine } = node;
  const throughSeq = engine.store.lastSeq - 4;
  const cause = { kind: 'operator', method: 'compact' } as const;
  await accept(engine.compact(throughSeq, cause));
  await accept(engine.prepare({ key: 'after', parent: '', labels: {} }, call('Prepare')));
  await accept(engine.remove('default/51/db', call('Remove')));
}

/** Parallel unpacks under way at the horizon and at the end, whose labels changed meanwhile. */
async function unpacking(node: RecordedNode): Promise<void> {
  const { engine } = node;
  const labels = {
    'containerd.io/snapshot.ref': chainId(2),
    'containerd.io/snapshot/parent-chain-id': chainId(1),
  };
  const first = { 'containerd.io/snapshot.ref': chainId(1) };
  for (const [key, before, after] of [
    ['default/1/first', first, labels],
    ['default/2/above', labels, first],
    ['default/3/above', labels, labels],
  ] as const) {
    await accept(engine.prepare({ key, parent: '', labels: before }, call('Prepare')));
    await accept(engine.update({ name: key, labels: after, paths: [] }, call('Update')));
  }
  const cause = { kind: 'operator', method: 'compact' } as const;
  await accept(engine.compact(engine.store.lastSeq, cause));
  await accept(engine.prepare({ key: 'default/4/above', parent: '', labels }, call('Prepare')));
}

/** The end of the log is damaged, with what it said, and repaired. */
async function repaired(node: RecordedNode): Promise<void> {
  const { engine } = node;
  const top = await unpack(engine, { layer: 1, parents: ['', ''] });
  for (const key of ['default/2/web', 'default/3/db']) {
    await accept(engine.prepare({ key, parent: top, labels: {} }, call('Prepare')));
  }
  await node.restart('repair');
  const key = 'default/4/after';
  await accept(node.engine.prepare({ key, parent: top, labels: {} }, call('Prepare')));
}

/** As `repaired`, by a repair that keeps what follows the loss; recorded since it does. */
async function lossy(node: RecordedNode): Promise<void> {
  await repaired(node);
  const labels = { 'after/the.loss': 'yes' };
  const update = { name: 'default/2/web', labels, paths: [] };
  await accept(node.engine.update(update, call('Update')));
}

/** Block layers: devices that are shared, kept, linger, fail, are lost and go. */
async function devices(node: RecordedNode): Promise<void> {
  node.unpacksBlocks = true;
  const { engine } = node;
  const base = await unpack(engine, { layer: 1, parents: ['', ''] });
  const top = await unpack(engine, { layer: 2, parents: [base, ''] });
  for (const key of ['default/50/web', 'default/51/db']) {
    await accept(engine.prepare({ key, parent: top, labels: {} }, call('Prepare')));
  }
  for (const key of ['default/50/web', 'default/51/db']) {
    await accept(engine.remove(key, call('Remove')));
  }
  await node.recorded('DeviceKept');
  node.fail('attach');
  const broken = { key: 'default/52/broken', parent: base, labels: {} };
  await refuse(engine.prepare(broken, call('Prepare')));
  await accept(engine.view({ key: 'default/53/look', parent: base, labels: {} }, call('View')));
  node.fail('detach');
  await accept(engine.remove('default/53/look', call('Remove')));
  await node.recorded('DeviceDetachFailed');
  const box = { key: 'default/54/box', parent: top, labels: {} };
  await accept(engine.prepare(box, call('Prepare')));
  await node.reboot();
  await accept(Promise.resolve(await node.engine.mounts('default/54/box', call('Mounts'))));
  await accept(node.engine.remove('default/54/box', call('Remove')));
  await accept(node.engine.remove(top, call('Remove')));
  await accept(node.engine.cleanup(call('Cleanup')));
  await accept(node.engine.prepare({ ...box, parent: base }, call('Prepare')));
}

/** Devices of their own: formatted, committed, in use, lost; and a layer that is read remotely. */
async function writable(node: RecordedNode): Promise<void> {
  node.unpacksBlocks = true;
  const { engine } = node;
  const base = await unpack(engine, { layer: 1, parents: ['', ''] });
  const labels = { 'containerd.io/snapshot/overlaybd.writable': 'dir' };
  const device = { 'containerd.io/snapshot/overlaybd.writable': 'dev' };
  await accept(engine.prepare({ key: 'default/50/new', parent: '', labels }, call('Prepare')));
  await accept(engine.prepare({ key: 'default/51/box', parent: base, labels }, call('Prepare')));
  const vm = { key: 'default/52/vm', parent: base, labels: device };
  await accept(engine.prepare(vm, call('Prepare')));
  await accept(engine.view({ ...vm, key: 'default/53/look' }, call('View')));
  const limited = { 'containerd.io/snapshot/disk_quota': '20g' };
  const small = { key: 'default/57/small', parent: base, labels: limited };
  await accept(engine.prepare(small, call('Prepare')));
  const commit = { key: 'default/51/box', name: 'default/60/saved', labels: {}, parent: '' };
  node.fail('detach');
  await refuse(engine.commit(commit, call('Commit')));
  await accept(engine.commit(commit, call('Commit')));
  const next = { key: 'default/54/next', parent: 'default/60/saved', labels };
  await accept(engine.prepare(next, call('Prepare')));
  await node.reboot();
  const prefix = 'containerd.io/snapshot';
  const blob = {
    [`${prefix}.ref`]: chainId(7),
    [`${prefix}/overlaybd/blob-digest`]: chainId(8),
    [`${prefix}/overlaybd/blob-size`]: '4096',
    [`${prefix}/cri.image-ref`]: 'docker.io/library/sample:1',
  };
  const pulled = { key: `default/55/extract-7 ${chainId(7)}`, parent: base, labels: blob };
  await refuse(node.engine.prepare(pulled, call('Prepare')));
  const staged = { ...pulled, parent: '' };
  const parentChainId = { [`${prefix}/parent-chain-id`]: chainId(1) };
  const awaiting = {
    ...staged,
    key: `default/56/extract-8 ${chainId(8)}`,
    labels: { ...blob, [`${prefix}.ref`]: chainId(8), ...parentChainId },
  };
  await accept(node.engine.prepare(awaiting, call('Prepare')));
  const named = { key: awaiting.key, name: chainId(8), labels: blob, parent: base };
  await accept(node.engine.commit(named, call('Commit')));
  await accept(node.engine.remove('default/50/new', call('Remove')));
  await accept(node.engine.cleanup(call('Cleanup')));
}

/** An image that asks for mount options: in a checkpoint at the horizon, and behind it. */
async function options(node: RecordedNode): Promise<void> {
  node.unpacksBlocks = true;
  const { engine } = node;
  const more = { 'containerd.io/snapshot/overlaybd/blob-fs-type': 'ext4;noload' };
  const base = await unpack(engine, { layer: 1, parents: ['', ''], more });
  const cause = { kind: 'operator', method: 'compact' } as const;
  await accept(engine.compact(engine.store.lastSeq, cause));
  const top = await unpack(engine, { layer: 2, parents: [base, ''], more });
  const box = { key: 'default/50/box', parent: top, labels: {} };
  await accept(engine.prepare(box, call('Prepare')));
  await accept(engine.view({ ...box, key: 'default/51/look', parent: base }, call('View')));
  await node.reboot();
  await accept(Promise.resolve(await node.engine.mounts('default/50/box', call('Mounts'))));
  await accept(node.engine.remove('default/51/look', call('Remove')));
}

/** Devices over several transports: in a checkpoint at the horizon, and behind it. */
async function transports(node: RecordedNode): Promise<void> {
  node.unpacksBlocks = true;
  node.transport = 'tcmu';
  const { engine } = node;
  const base = await unpack(engine, { layer: 1, parents: ['', ''] });
  const top = await unpack(engine, { layer: 2, parents: [base, ''] });
  const box = { key: 'default/50/box', parent: base, labels: {} };
  await accept(engine.prepare(box, call('Prepare')));
  const cause = { kind: 'operator', method: 'compact' } as const;
  await accept(engine.compact(engine.store.lastSeq, cause));
  node.transport = 'ublk';
  await accept(engine.view({ ...box, key: 'default/51/look', parent: top }, call('View')));
  await node.reboot();
  await accept(Promise.resolve(await node.engine.mounts('default/50/box', call('Mounts'))));
  await accept(node.engine.remove('default/51/look', call('Remove')));
  await node.recorded('DeviceDetached');
}

export const sessions: readonly Session[] = [
  { name: 'containers', runtimeType: 'containerd', asyncRemove: false, run: containers },
  { name: 'docker', runtimeType: 'docker', asyncRemove: true, run: docker },
  { name: 'failures', runtimeType: 'containerd', asyncRemove: false, run: failures },
  { name: 'compacted', runtimeType: 'containerd', asyncRemove: false, run: compacted },
  { name: 'unpacking', runtimeType: 'containerd', asyncRemove: false, run: unpacking },
  { name: 'repaired', runtimeType: 'containerd', asyncRemove: false, run: repaired },
  { name: 'lossy', runtimeType: 'containerd', asyncRemove: false, run: lossy },
  { name: 'devices', runtimeType: 'containerd', asyncRemove: false, run: devices },
  { name: 'writable', runtimeType: 'containerd', asyncRemove: false, run: writable },
  { name: 'options', runtimeType: 'containerd', asyncRemove: false, run: options },
  { name: 'transports', runtimeType: 'containerd', asyncRemove: false, run: transports },
];

/** Request ids begin anew, so that a session is always recorded with the same ones. */
export function beginSession(): void {
  callCount = 0;
}
