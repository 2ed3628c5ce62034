// What clients do with block layers, in steps that may be asked for again: the first container of
// an image, another one, a commit of what one wrote, removals, Docker's init layer.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { top, type BlockNode } from '../cli/block-node.ts';

interface Ended {
  readonly code: number;
  readonly details: string;
}

export interface Step {
  readonly name: string;
  /** The key or name that is there afterwards. */
  readonly makes?: string;
  /** The key or name that is there no more. */
  readonly takes?: string;
  call(node: BlockNode): Promise<Ended>;
  /** How it is refused when it had happened already. */
  readonly again: status;
  /** What must hold once it was answered. */
  check(node: BlockNode): Promise<void>;
}

/** How the node is configured that the work is for. */
export interface NodeSettings {
  readonly runtimeType: 'containerd' | 'docker';
  readonly writableLayerType: 'append' | 'sparse';
}

export interface Work {
  readonly name: string;
  readonly node: NodeSettings;
  /** What is there before. */
  readonly before: readonly Step[];
  readonly steps: readonly Step[];
  /** What takes away all that `before` and `steps` have left. */
  readonly undo: readonly Step[];
}

const writes = { 'containerd.io/snapshot/overlaybd.writable': 'dir' };
const written = 'written\n';

/** Whether a file can be read through the mounts of a snapshot, as a client would mount them. */
async function readThrough(node: BlockNode, key: string, file: string): Promise<string> {
  const { code, details, value } = await node.tryMounts(key);
  assert.equal(code, status.OK, details);
  const [mount] = value?.mounts ?? [];
  const options = mount?.options ?? [];
  if (mount?.type === 'bind') return readFileSync(path.join(mount.source ?? '', file), 'utf8');
  const target = path.join(node.scratch.path, 'mounted');
  const script = `mkdir -p "$0"; mount -t overlay overlay -o "$1" "$0"; cat "$0/$2"; umount "$0"`;
  return runCommand(['sh', '-ec', script, target, options.join(','), file]);
}

const prepare = (key: string, parent: string, labels = {}): Step => ({
  name: `Prepare of ${key}`,
  makes: key,
  call: (node) => node.tryPrepare(key, parent, labels),
  again: status.ALREADY_EXISTS,
  check: async (node) => assert.equal(await readThrough(node, key, 'top'), 'top\n'),
});

/** A client writes a file, and makes sure that it is on disk. */
const write = (key: string): Step => ({
  name: `a file in ${key}`,
  makes: key,
  call: async (node) => {
    const { value } = await node.tryMounts(key);
    const file = path.join(value?.mounts?.[0]?.source ?? '', 'written');
    writeFileSync(file, written);
    await runCommand(['sync', file]);
    return { code: status.OK, details: '' };
  },
  again: status.OK,
  check: async (node) => assert.equal(await readThrough(node, key, 'written'), written),
});

const commit = (key: string, name: string): Step => ({
  name: `Commit of ${key}`,
  makes: name,
  takes: key,
  call: (node) => node.tryCommit(key, name),
  again: status.ALREADY_EXISTS,
  check: async (node) => {
    const looking = `look-${name}`;
    const viewed = await node.tryView(looking, name);
    assert.equal(viewed.code, status.OK, viewed.details);
    const [mount] = viewed.value?.mounts ?? [];
    const { source = '', options = [] } = mount ?? {};
    const lower = (options ?? []).find((option) => option.startsWith('lowerdir='))?.slice(9);
    const places = mount?.type === 'bind' ? [source ?? ''] : (lower ?? '').split(':');
    const found = places.map((place) => path.join(place, 'written')).find(existsSync);
    assert.equal(readFileSync(found ?? '', 'utf8'), written);
    assert.equal((await node.remove(looking)).code, status.OK);
  },
});

const remove = (key: string): Step => ({
  name: `Remove of ${key}`,
  takes: key,
  call: (node) => node.remove(key),
  again: status.NOT_FOUND,
  check: async (node) => {
    const { code } = await node.daemon.snapshots.call(snapshots.stat, { key });
    assert.equal(status[code], 'NOT_FOUND');
  },
});

const container = `moby/1/${'c'.repeat(64)}`;
const init = `${container}-init`;
/** An init layer holds no file of the image itself. */
const initStep = (step: Step, check: Step['check'] = async () => undefined): Step => ({
  ...step,
  check,
});

const append: NodeSettings = { runtimeType: 'containerd', writableLayerType: 'append' };
const sparse: NodeSettings = { runtimeType: 'containerd', writableLayerType: 'sparse' };
const docker: NodeSettings = { runtimeType: 'docker', writableLayerType: 'append' };

export const nodes: readonly NodeSettings[] = [append, sparse, docker];

const writing = (node: NodeSettings): readonly Work[] => [
  {
    ...{ name: `a container that writes a new device, ${node.writableLayerType}`, node },
    before: [],
    steps: [
      // A new file system of its own.
      initStep(prepare('new', '', { ...writes, 'containerd.io/snapshot/overlaybd/vsize': '1' })),
      write('new'),
    ],
    undo: [remove('new')],
  },
  {
    ...{ name: `a commit in dir mode, ${node.writableLayerType}`, node },
    before: [prepare('box', top, writes), write('box')],
    steps: [commit('box', 'saved')],
    undo: [remove('saved')],
  },
];

export const works: readonly Work[] = [
  {
    ...{ name: 'the first container of an image', node: append, before: [] },
    steps: [prepare('first', top)],
    undo: [remove('first')],
  },
  {
    ...{ name: 'another container of an image', node: append },
    before: [prepare('first', top)],
    steps: [prepare('second', top)],
    undo: [remove('first'), remove('second')],
  },
  ...writing(append),
  ...writing(sparse),
  {
    ...{ name: 'a removal', node: append },
    before: [prepare('first', top), prepare('own', top, writes)],
    steps: [remove('first'), remove('own')],
    undo: [],
  },
  {
    ...{ name: 'Docker’s init layer', node: docker, before: [] },
    steps: [
      initStep(prepare(`${init}-key`, top)),
      initStep(write(`${init}-key`)),
      commit(`${init}-key`, init),
      prepare(container, init),
      remove(container),
      remove(init),
    ],
    undo: [],
  },
];
