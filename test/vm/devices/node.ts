// varve-bd whose devices reach the kernel by one transport, killed and started as a test wishes; at
// the end of a test it has none any more.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { BlockDaemonClient } from '../../../src/adapters/block-daemon/client.ts';
import type { DeviceStats } from '../../../src/cli/block-devices/documents.ts';
import {
  client,
  createUpper,
  list,
  start,
  type Daemon,
  type UpperKind,
} from '../../native/block-daemon.ts';
import { writeConfig } from '../../native/layer-tool.ts';
import { scratchDirectory } from '../../native/scratch.ts';
import { waitUntil } from '../programs.ts';

export abstract class DeviceNode {
  readonly directory: string;
  protected readonly t: TestContext;
  #daemon: Daemon | undefined;
  #bd: BlockDaemonClient | undefined;

  constructor(t: TestContext, directory: string) {
    this.t = t;
    this.directory = directory;
  }

  /** Attaches an image. Names are numbers, as the kernel's target wants them. */
  abstract attach(name: string, config: string): Promise<string>;

  abstract detach(name: string): Promise<void>;

  /** How varve-bd calls a device. */
  abstract deviceOf(name: string): string;

  /** What is left of devices in the kernel and in files. */
  abstract left(): Promise<readonly string[]>;

  /** Ends every device, also what nobody serves. */
  protected abstract endAll(): Promise<void>;

  /** What varve-bd is started with. */
  protected abstract flags(): Promise<readonly string[]>;

  /** The daemon that runs, or that did last. */
  get daemon(): Daemon {
    return this.#daemon!;
  }

  get bd(): BlockDaemonClient {
    return this.#bd!;
  }

  async start(): Promise<BlockDaemonClient> {
    const flags = await this.flags();
    this.#daemon = await start(this.t, join(this.directory, 'run/bd.sock'), flags);
    this.#bd = await client(this.t, this.daemon);
    return this.bd;
  }

  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    return this.daemon.end(signal);
  }

  /** Ends the daemon and starts the next one. */
  async replace(signal: NodeJS.Signals): Promise<void> {
    const status = await this.end(signal);
    assert.equal(status, signal === 'SIGKILL' ? 'SIGKILL' : 0);
    await this.start();
  }

  /** Until these are there, and no device waits for its image. */
  recovered(names: readonly string[]): Promise<void> {
    return waitUntil('the devices are served again', async () => {
      const listed = await list(this.bd);
      return (
        names.every((name) => listed.some(({ device }) => device === this.deviceOf(name))) &&
        listed.every(({ state }) => state !== 'recovering')
      );
    });
  }

  /** An empty writable device, and the files of its layer. */
  async writable(name: string, kind: UpperKind, size: string) {
    const upper = createUpper(this.directory, name, kind, size);
    const config = writeConfig(join(this.directory, `${name}.json`), { upper });
    return { ...upper, config, path: await this.attach(name, config) };
  }

  async statsOf(name: string): Promise<DeviceStats> {
    const device = this.deviceOf(name);
    return (await this.bd.request<{ devices: DeviceStats[] }>('stats', { device })).devices[0]!;
  }

  /** The layer of what was written to a device. */
  async commit(name: string): Promise<string> {
    const output = join(this.directory, `${name}.layer`);
    const device = this.deviceOf(name);
    await this.bd.request('commit', { device, output, algorithm: 'lz4' });
    return output;
  }

  async dispose(): Promise<void> {
    const { child } = this.daemon;
    if (child.exitCode !== null || child.signalCode !== null) await this.start();
    await this.endAll();
  }
}

/** Starts a node that leaves nothing at the end of a test. */
export async function startNode<Node extends DeviceNode>(
  t: TestContext,
  make: new (t: TestContext, directory: string) => Node,
): Promise<Node> {
  // Runs before those that end the daemons: a device that nobody serves keeps what hangs on it.
  const hook: { dispose?: () => Promise<void> } = {};
  t.after(() => hook.dispose?.());
  const node = new make(t, scratchDirectory(t));
  await node.start();
  hook.dispose = () => node.dispose();
  return node;
}
