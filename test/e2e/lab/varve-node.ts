// varve with a containerd on it, and with the daemon of block devices where they can be attached:
// what tests of clients need, and what they ask of it.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { deviceObstacle } from '../../native/device-obstacle.ts';
import { startBlockDaemon, type BlockDaemon } from './block-daemon.ts';
import { buildBlockImage } from './block-image.ts';
import type { Client } from './clients.ts';
import { runCommand } from './command.ts';
import { startContainerd, type Containerd } from './containerd.ts';
import type { CriOptions } from './containerd-config.ts';
import { staticBusybox } from './debian-packages.ts';
import { buildSampleImage, type Image } from './image.ts';
import { makeScratch, mountsBelow, type Scratch } from './scratch.ts';
import { waitUntil } from './service.ts';
import { startSnapshotter, stopSnapshotter, type Snapshotter } from './snapshotter.ts';

const command = resolve(import.meta.dirname, '../../../bin/varve');

/** The name that containerd has for it. */
export const plugin = 'varve';

export interface SnapshotSummary {
  readonly id: number;
  readonly key: string;
  readonly role: string;
  readonly backing: string;
}

export interface DeviceSummary {
  readonly id: number;
  readonly state: string;
  readonly leases: readonly { readonly snapshotId: number; readonly purpose: string }[];
}

export interface NodeState {
  readonly snapshots: readonly SnapshotSummary[];
  readonly devices: readonly DeviceSummary[];
}

export interface NodeOptions {
  /** Short: sockets lie below it. */
  readonly prefix: string;
  readonly client: Client;
  /** Keys of varve's configuration. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** With it containerd serves CRI, on varve unless another snapshotter is named. */
  readonly cri?: Omit<CriOptions, 'snapshotter'> & { readonly snapshotter?: string };
}

/** What kind of layers an image is made of. */
export type LayerKind = 'ordinary' | 'overlaybd';

/** Builds the image that all tests use, of layers of this kind. */
export async function imageOf(kind: LayerKind, directory: string): Promise<Image> {
  mkdirSync(directory, { recursive: true });
  const busybox = await staticBusybox();
  const ordinary = await buildSampleImage({ name: 'sample', directory, busybox });
  return kind === 'ordinary' ? ordinary : buildBlockImage(ordinary, join(directory, 'block'));
}

export class VarveNode {
  readonly scratch: Scratch;
  readonly containerd: Containerd;
  readonly #daemon: BlockDaemon | undefined;
  #settings: Readonly<Record<string, unknown>>;
  #snapshotter: Snapshotter;

  private constructor(parts: {
    readonly scratch: Scratch;
    readonly daemon: BlockDaemon | undefined;
    readonly settings: Readonly<Record<string, unknown>>;
    readonly snapshotter: Snapshotter;
    readonly containerd: Containerd;
  }) {
    this.scratch = parts.scratch;
    this.containerd = parts.containerd;
    this.#daemon = parts.daemon;
    this.#settings = parts.settings;
    this.#snapshotter = parts.snapshotter;
  }

  static async start({ prefix, client, settings = {}, cri }: NodeOptions): Promise<VarveNode> {
    const scratch = makeScratch(prefix);
    try {
      const isObstructed = deviceObstacle() !== undefined;
      const daemon = isObstructed ? undefined : await startBlockDaemon(scratch.path);
      if (daemon !== undefined) scratch.defer(() => daemon.service.stop());
      const address = daemon === undefined ? {} : { blockDaemonAddress: daemon.address };
      const all = { ...address, ...settings };
      const snapshotter = await startOn(scratch, all);
      const containerd = await startContainerd({
        directory: join(scratch.path, 'c'),
        programDirectories: client.programDirectories,
        ...(cri === undefined ? {} : { cri: { snapshotter: plugin, ...cri } }),
        snapshotters: [
          {
            name: plugin,
            address: snapshotter.address,
            root: snapshotter.root,
            capabilities: ['rebase'],
          },
        ],
      });
      const node = new VarveNode({ scratch, daemon, settings: all, snapshotter, containerd });
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

  /** The image that all tests use, of layers of this kind. */
  image(kind: LayerKind): Promise<Image> {
    return imageOf(kind, join(this.scratch.path, 'images'));
  }

  /** kill -9 of the service, which starts again with other settings where they are given. */
  async killAndRestart(settings: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.#snapshotter.service.kill();
    this.#settings = { ...this.#settings, ...settings };
    this.#snapshotter = await startOn(this.scratch, this.#settings);
    await waitUntil('containerd is connected again', async () => {
      const listed = this.containerd.ctr('snapshots', '--snapshotter', plugin, 'ls');
      return listed.then(
        () => true,
        () => false,
      );
    });
  }

  async state(): Promise<NodeState> {
    return JSON.parse(await this.#varve('ls', '--json')) as NodeState;
  }

  /** The types of all that happened. */
  async eventTypes(): Promise<readonly string[]> {
    const lines = (await this.#varve('events', '--json')).split('\n').filter(Boolean);
    return lines.map((line) => (JSON.parse(line) as { readonly type: string }).type);
  }

  /** What the daemon of block devices has open. */
  async attachedDevices(): Promise<readonly string[]> {
    if (this.#daemon === undefined) return [];
    const argv = [command, 'bd', 'ls', '--json', '--socket', this.#daemon.address];
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
    const types = await this.eventTypes();
    const count = (wanted: string): number => types.filter((type) => type === wanted).length;
    const [attached, detached] = [count('DeviceAttached'), count('DeviceDetached')];
    if (attached !== detached) throw new Error(`${attached} attached, ${detached} detached`);
  }

  #varve(...parameters: string[]): Promise<string> {
    return runCommand([command, ...parameters, '--address', this.#snapshotter.address]);
  }
}

function startOn(
  scratch: Scratch,
  settings: Readonly<Record<string, unknown>>,
): Promise<Snapshotter> {
  const directory = join(scratch.path, 'v');
  mkdirSync(directory, { recursive: true });
  const configPath = join(scratch.path, 'config.json');
  writeFileSync(configPath, JSON.stringify(settings));
  return startSnapshotter({ command, directory, configPath });
}
