// A containerd with varve as its snapshotter, varve-bd beside it, and an image of overlaybd layers,
// as tests use them; and what they ask of them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { startBlockDaemon, type BlockDaemon } from './block-daemon.ts';
import { buildBlockImage } from './block-image.ts';
import type { Client } from './clients.ts';
import { runCommand } from './command.ts';
import { startContainerd, type Containerd } from './containerd.ts';
import { staticBusybox } from './debian-packages.ts';
import { buildImage, type Image } from './image.ts';
import { busyboxLayer, changingLayer, variedLayer } from './layers.ts';
import { makeScratch, type Scratch } from './scratch.ts';
import type { TarEntry } from './tar.ts';
import { startSnapshotter, stopSnapshotter, type Snapshotter } from './snapshotter.ts';

const command = resolve(import.meta.dirname, '../../../bin/varve');
export const plugin = 'varve';
export const lingerMs = 300;

export interface BlockNode {
  readonly scratch: Scratch;
  readonly daemon: BlockDaemon;
  snapshotter: Snapshotter;
  readonly configPath: string;
  readonly containerd: Containerd;
  /** The ordinary image, and what it was converted into. */
  readonly plain: Image;
  readonly image: Image;
}

/** Of two names of a file below one is written again, with a further name: that one parts. */
const linked: readonly TarEntry[] = [
  { path: 'data/hard1', kind: 'file', mode: 0o644, content: Buffer.from('parted\n') },
  { path: 'data/hard3', kind: 'hardlink', mode: 0o644, target: 'data/hard1' },
];

/** Starts all of it; `settings` are keys of varve's configuration. */
export async function startBlockNode(
  client: Client,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<BlockNode> {
  const scratch = makeScratch('varve-obd-');
  try {
    const images = join(scratch.path, 'images');
    mkdirSync(images);
    const busybox = await staticBusybox();
    const layers = [await busyboxLayer(busybox), variedLayer(), [...changingLayer(), ...linked]];
    const plain = buildImage({ name: 'sample', directory: images, layers });
    const image = await buildBlockImage(plain, join(scratch.path, 'block'));
    const daemon = await startBlockDaemon(scratch.path);
    scratch.defer(() => daemon.service.stop());
    const configPath = join(scratch.path, 'config.json');
    const own = { autoRemoveDev: true, lingerMs, blockDaemonAddress: daemon.address };
    writeFileSync(configPath, JSON.stringify({ ...own, ...settings }));
    const directory = join(scratch.path, 'snapshotter');
    const snapshotter = await startSnapshotter({ command, directory, configPath });
    const { address, root } = snapshotter;
    const containerd = await startContainerd({
      directory: join(scratch.path, 'containerd'),
      programDirectories: client.programDirectories,
      snapshotters: [{ name: plugin, address, root, capabilities: ['rebase'] }],
      maxConcurrentUnpacks: 3,
    });
    const node = { scratch, daemon, snapshotter, configPath, containerd, plain, image };
    scratch.defer(() => stopSnapshotter(node.snapshotter));
    scratch.defer(() => containerd.stop());
    return node;
  } catch (error) {
    await scratch.dispose();
    throw error;
  }
}

export const lines = (text: string): readonly string[] =>
  text.split('\n').filter((line) => line.trim() !== '');

export interface DeviceSummary {
  readonly id: number;
  readonly state: string;
  readonly path: string | null;
  readonly leases: readonly { readonly snapshotId: number }[];
}

export interface State {
  readonly snapshots: readonly {
    readonly key: string;
    readonly backing: string;
    readonly parent: string;
  }[];
  readonly devices: readonly DeviceSummary[];
}

export async function stateOf({ snapshotter }: BlockNode): Promise<State> {
  const argv = [command, 'ls', '--json', '--address', snapshotter.address];
  return JSON.parse(await runCommand(argv)) as State;
}

export interface RecordedEvent {
  readonly type: string;
  readonly data: { readonly parent?: string };
}

export async function eventsOf({ snapshotter }: BlockNode): Promise<readonly RecordedEvent[]> {
  const argv = [command, 'events', '--json', '--address', snapshotter.address];
  return lines(await runCommand(argv)).map((line) => JSON.parse(line) as RecordedEvent);
}

/** The names of what varve-bd has open. */
export async function attachedDevices({ daemon }: BlockNode): Promise<readonly string[]> {
  const argv = [command, 'bd', 'ls', '--json', '--socket', daemon.address];
  const { devices } = JSON.parse(await runCommand(argv)) as { devices: { device: string }[] };
  return devices.map(({ device }) => device);
}

/** Runs a container of the image in the background. */
export function run(node: BlockNode, name: string, ...argv: string[]): Promise<string> {
  return runWith(node, {}, name, ...argv);
}

/** The same; `labels` are those of its snapshot. */
export function runWith(
  node: BlockNode,
  labels: Readonly<Record<string, string>>,
  name: string,
  ...argv: string[]
): Promise<string> {
  const given = Object.entries(labels).flatMap(([key, value]) => [
    '--snapshotter-label',
    `${key}=${value}`,
  ]);
  const options = ['--snapshotter', plugin, ...given, ...node.containerd.runOptions];
  return node.containerd.ctr('run', ...options, '--detach', node.image.reference, name, ...argv);
}

/** What a script says that is run in a container. */
export function execute(node: BlockNode, name: string, script: string): Promise<string> {
  const id = `exec-${Math.random().toString(36).slice(2)}`;
  const options = ['--exec-id', id, ...node.containerd.execOptions];
  return node.containerd.ctr('tasks', 'exec', ...options, name, 'sh', '-c', script);
}

export async function removeContainer(node: BlockNode, name: string): Promise<void> {
  await node.containerd.ctr('tasks', 'rm', '-f', name);
  await node.containerd.ctr('containers', 'rm', name);
}

/**
 * Lets containerd drop now what nothing refers to; by itself it takes its time, and takes what is
 * made meanwhile with it.
 */
export async function collectGarbage({ containerd }: BlockNode): Promise<void> {
  await containerd.ctr('leases', 'create', '--id', 'collection');
  await containerd.ctr('leases', 'delete', '--sync', 'collection');
}
