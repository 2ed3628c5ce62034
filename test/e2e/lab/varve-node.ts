// varve with a containerd on it, and with varve-bd where devices can be attached: what tests of
// clients need, and what they ask of it.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { deviceObstacle } from '../../native/device-obstacle.ts';
import { HeldBlockDaemon, startBlockDaemon, type BlockDaemon } from './block-daemon.ts';
import { buildBlockImage } from './block-image.ts';
import type { Client } from './clients.ts';
import { runCommand } from './command.ts';
import { startContainerd, type Containerd } from './containerd.ts';
import type { CriOptions } from './containerd-config.ts';
import { staticBusybox } from './debian-packages.ts';
import { buildSampleImage, type Image } from './image.ts';
import { makeScratch, mountsBelow, type Scratch } from './scratch.ts';
import { waitUntil } from './service.ts';
import {
  startSnapshotter,
  stopSnapshotter,
  type Snapshotter,
  type SnapshotterOptions,
} from './snapshotter.ts';

const varve = resolve(import.meta.dirname, '../../../bin/varve');

/** The name that containerd has for it. */
export const plugin = 'varve';

export interface SnapshotSummary {
  readonly id: number;
  readonly key: string;
  readonly parent: string;
  readonly role: string;
  readonly backing: string;
}

export interface DeviceSummary {
  readonly id: number;
  readonly state: string;
  readonly path: string | null;
  readonly leases: readonly { readonly snapshotId: number; readonly purpose: string }[];
}

export interface NodeState {
  readonly snapshots: readonly SnapshotSummary[];
  readonly devices: readonly DeviceSummary[];
}

export interface RecordedEvent {
  readonly stream: string;
  readonly type: string;
  readonly data: { readonly parent?: string; readonly reason?: string };
}

type Settings = Readonly<Record<string, unknown>>;

export interface NodeOptions {
  /** Short: sockets lie below it. */
  readonly prefix: string;
  readonly client: Client;
  /** Another snapshotter than bin/varve. */
  readonly command?: string;
  /** Keys of varve's configuration. */
  readonly settings?: Settings;
  /** By default there is a varve-bd where devices can be attached. */
  readonly hasBlockDaemon?: false;
  /** Whether devices outlive that varve-bd. */
  readonly hasHolder?: true;
  /** What that varve-bd is started with besides. */
  readonly blockDaemonFlags?: readonly string[];
  /** Instead of one that is made for the node. */
  readonly scratch?: Scratch;
  /** With it containerd serves CRI, on varve unless another snapshotter is named. */
  readonly cri?: Omit<CriOptions, 'snapshotter'> & { readonly snapshotter?: string };
  /** Puts something into the directory that the snapshotter is about to get. */
  readonly prepare?: (directory: string, scratch: Scratch) => Promise<void>;
}

/** What kind of layers an image is made of. */
export type LayerKind = 'ordinary' | 'overlaybd';

/** Builds the image that all tests use, of layers of this kind. */
export async function imageOf(kind: LayerKind, directory: string, extraLayers = 0): Promise<Image> {
  mkdirSync(directory, { recursive: true });
  const busybox = await staticBusybox();
  const ordinary = await buildSampleImage({ name: 'sample', directory, busybox, extraLayers });
  return kind === 'ordinary' ? ordinary : buildBlockImage(ordinary, join(directory, 'block'));
}

/** A device goes as soon as nobody uses it. */
const ownSettings: Settings = { autoRemoveDev: true, lingerMs: 300 };

interface Parts {
  readonly scratch: Scratch;
  readonly daemon: BlockDaemon | undefined;
  /** What the snapshotter is started with, now and again. */
  readonly launch: SnapshotterOptions & { readonly configPath: string };
  readonly settings: Settings;
  readonly snapshotter: Snapshotter;
  readonly containerd: Containerd;
}

export class VarveNode {
  readonly scratch: Scratch;
  readonly containerd: Containerd;
  readonly #daemon: BlockDaemon | undefined;
  readonly #launch: Parts['launch'];
  #settings: Settings;
  #snapshotter: Snapshotter;

  private constructor(parts: Parts) {
    this.scratch = parts.scratch;
    this.containerd = parts.containerd;
    this.#daemon = parts.daemon;
    this.#launch = parts.launch;
    this.#settings = parts.settings;
    this.#snapshotter = parts.snapshotter;
  }

  static async start(options: NodeOptions): Promise<VarveNode> {
    const { prefix, client, command = varve, cri, prepare } = options;
    const { programDirectories } = client;
    const scratch = options.scratch ?? makeScratch(prefix);
    const at = (name: string): string => join(scratch.path, name);
    try {
      mkdirSync(at('v'), { recursive: true });
      await prepare?.(at('v'), scratch);
      const hasDaemon = options.hasBlockDaemon ?? deviceObstacle() === undefined;
      const startDaemon = options.hasHolder ? HeldBlockDaemon.start : startBlockDaemon;
      const flags = options.blockDaemonFlags ?? [];
      const daemon = hasDaemon ? await startDaemon(scratch.path, flags) : undefined;
      if (daemon instanceof HeldBlockDaemon) scratch.defer(() => daemon.stop());
      else if (daemon !== undefined) scratch.defer(() => daemon.service.stop());
      const blockDaemon = daemon === undefined ? {} : { blockDaemonAddress: daemon.address };
      const settings = { ...ownSettings, ...blockDaemon, ...options.settings };
      const configPath = at('config.json');
      writeFileSync(configPath, JSON.stringify(settings));
      const launch = { command, directory: at('v'), configPath, programDirectories };
      const snapshotter = await startSnapshotter(launch);
      const { address, root } = snapshotter;
      const containerd = await startContainerd({
        directory: at('c'),
        programDirectories,
        ...(cri === undefined ? {} : { cri: { snapshotter: plugin, ...cri } }),
        snapshotters: [{ name: plugin, address, root, capabilities: ['rebase'] }],
      });
      const node = new VarveNode({ scratch, daemon, launch, settings, snapshotter, containerd });
      scratch.defer(() => stopSnapshotter(node.#snapshotter));
      scratch.defer(() => containerd.stop());
      return node;
    } catch (error) {
      await scratch.dispose();
      throw error;
    }
  }

  get root(): string {
    return this.#snapshotter.root;
  }

  get address(): string {
    return this.#snapshotter.address;
  }

  /** The image that all tests use, of layers of this kind. */
  image(kind: LayerKind, extraLayers = 0): Promise<Image> {
    return imageOf(kind, join(this.scratch.path, 'images'), extraLayers);
  }

  /** Ends varve-bd and starts the next one, to which the holder hands the devices. */
  async replaceBlockDaemon(how: 'kill' | 'stop'): Promise<void> {
    assert(this.#daemon instanceof HeldBlockDaemon, 'there is a holder');
    await this.#daemon.replace(how);
  }

  /** kill -9 of the service. */
  async kill(): Promise<void> {
    await this.#snapshotter.service.kill();
  }

  /** Waits until the service is gone by itself. */
  async gone(): Promise<void> {
    await waitUntil(
      'the snapshotter has ended',
      async () => !this.#snapshotter.service.isRunning(),
      60_000,
    );
  }

  /** Starts the service that was killed, with other settings where they are given. */
  async restart(settings: Settings = {}): Promise<void> {
    this.#settings = { ...this.#settings, ...settings };
    writeFileSync(this.#launch.configPath, JSON.stringify(this.#settings));
    this.#snapshotter = await startSnapshotter(this.#launch);
    await waitUntil('containerd is connected again', () =>
      this.snapshots('ls').then(
        () => true,
        () => false,
      ),
    );
  }

  /** `ctr snapshots` on it. */
  snapshots(...argv: string[]): Promise<string> {
    return this.containerd.ctr('snapshots', '--snapshotter', plugin, ...argv);
  }

  async import({ archivePath }: Image): Promise<void> {
    await this.containerd.ctr('images', 'import', '--snapshotter', plugin, archivePath);
  }

  /** Starts a container of an image, which sleeps; `labels` are those of its snapshot. */
  async startContainer(
    { reference }: Image,
    name: string,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const given = Object.entries(labels).flatMap(([key, value]) => [
      '--snapshotter-label',
      `${key}=${value}`,
    ]);
    const options = ['--detach', ...this.#runOptions(), ...given];
    await this.containerd.ctr('run', ...options, reference, name, 'sleep', '1000');
  }

  /** What a script says that is run in a container. */
  execute(name: string, script: string): Promise<string> {
    const id = `exec-${Math.random().toString(36).slice(2)}`;
    const options = ['--exec-id', id, ...this.containerd.execOptions];
    return this.containerd.ctr('tasks', 'exec', ...options, name, 'sh', '-c', script);
  }

  /** The same in a container of its own, which is gone afterwards. */
  runOnce(reference: string, script: string): Promise<string> {
    const options = ['--rm', ...this.#runOptions()];
    return this.containerd.ctr('run', ...options, reference, 'once', 'sh', '-c', script);
  }

  #runOptions(): readonly string[] {
    return ['--snapshotter', plugin, ...this.containerd.runOptions];
  }

  async removeContainer(name: string): Promise<void> {
    await this.containerd.ctr('tasks', 'rm', '-f', name);
    await this.containerd.ctr('containers', 'rm', name);
  }

  /**
   * Lets containerd drop now what nothing refers to; by itself it takes its time, and takes what
   * is made meanwhile with it.
   */
  async collectGarbage(): Promise<void> {
    await this.containerd.ctr('leases', 'create', '--id', 'collection');
    await this.containerd.ctr('leases', 'delete', '--sync', 'collection');
  }

  async state(): Promise<NodeState> {
    return JSON.parse(await this.#varve('ls', '--json')) as NodeState;
  }

  /** All that happened. */
  async events(): Promise<readonly RecordedEvent[]> {
    const printed = await this.#varve('events', '--json');
    return linesOf(printed).map((line) => JSON.parse(line) as RecordedEvent);
  }

  /** The names of what varve-bd has open. */
  async attachedDevices(): Promise<readonly string[]> {
    if (this.#daemon === undefined) return [];
    const argv = [varve, 'bd', 'ls', '--json', '--socket', this.#daemon.address];
    const { devices } = JSON.parse(await runCommand(argv)) as {
      readonly devices: readonly { readonly device: string }[];
    };
    return devices.map(({ device }) => device);
  }

  /** Waits until no snapshot, device, mount or directory of a layer is there; names what stays. */
  async nothingLeft(): Promise<void> {
    let left: unknown;
    const isEmpty = async (): Promise<boolean> => {
      const { snapshots, devices } = await this.state();
      const directories = readdirSync(join(this.root, 'snapshots'));
      const found = { snapshots, devices, directories, mounts: mountsBelow(this.root) };
      left = { ...found, attached: await this.attachedDevices() };
      return Object.values(left as object).every((list: readonly unknown[]) => list.length === 0);
    };
    await waitUntil('nothing is left', isEmpty).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(left)}`);
    });
    const changes = (await this.events()).filter(({ type }) =>
      ['DeviceAttached', 'DeviceDetached'].includes(type),
    );
    const last = new Map(changes.map(({ stream, type }) => [stream, type]));
    const attached = [...last].filter(([, type]) => type === 'DeviceAttached');
    if (attached.length > 0) throw new Error(`attached, says the log: ${attached.join('; ')}`);
  }

  #varve(...parameters: string[]): Promise<string> {
    return runCommand([varve, ...parameters, '--address', this.address]);
  }
}

/** The lines of a text that hold something. */
export const linesOf = (text: string): readonly string[] =>
  text.split('\n').filter((line) => line.trim() !== '');
