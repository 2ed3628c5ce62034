// varve-bd with devices of the kernel's ublk, killed and started as a test wishes; at the end of a
// test it has none any more.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { BlockDaemonClient } from '../../../src/adapters/block-daemon/client.ts';
import type { DeviceStats } from '../../../src/cli/block-devices/documents.ts';
import {
  client,
  createUpper,
  list,
  open,
  start,
  type Daemon,
  type Opened,
  type UpperKind,
} from '../../native/block-daemon.ts';
import { writeConfig } from '../../native/layer-tool.ts';
import { scratchDirectory } from '../../native/scratch.ts';
import { waitUntil } from '../programs.ts';

const namesIn = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory, { encoding: 'utf8' }).toSorted();
  } catch {
    return [];
  }
};

/** The ublk devices that the kernel has, whoever serves them. */
export const kernelDevices = (): readonly string[] => namesIn('/sys/class/ublk-char');

export class UblkNode {
  readonly directory: string;
  readonly #t: TestContext;
  #daemon: Daemon | undefined;
  #bd: BlockDaemonClient | undefined;

  static async start(t: TestContext): Promise<UblkNode> {
    // Runs before those that end the daemons: a device that nobody serves keeps what hangs on it.
    const hook: { dispose?: () => Promise<void> } = {};
    t.after(() => hook.dispose?.());
    const node = new UblkNode(t, scratchDirectory(t));
    hook.dispose = () => node.#dispose();
    await node.start();
    return node;
  }

  private constructor(t: TestContext, directory: string) {
    this.#t = t;
    this.directory = directory;
  }

  get daemon(): Daemon {
    return this.#daemon!;
  }

  get bd(): BlockDaemonClient {
    return this.#bd!;
  }

  /** Where the daemon keeps its notes on devices. */
  get noteDirectory(): string {
    return join(this.directory, 'run/ublk');
  }

  get notes(): readonly string[] {
    return namesIn(this.noteDirectory);
  }

  async start(): Promise<BlockDaemonClient> {
    this.#daemon = await start(this.#t, join(this.directory, 'run/bd.sock'));
    this.#bd = await client(this.#t, this.daemon);
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
  recovered(expected: readonly string[]): Promise<void> {
    return waitUntil('the devices are served again', async () => {
      const listed = await list(this.bd);
      return (
        expected.every((name) => listed.some(({ device }) => device === name)) &&
        listed.every(({ state }) => state !== 'recovering')
      );
    });
  }

  /** An empty writable device. */
  async writable(name: string, kind: UpperKind, size: string): Promise<Opened> {
    const upper = createUpper(this.directory, name, kind, size);
    return open(this.bd, writeConfig(join(this.directory, `${name}.json`), { upper }), name);
  }

  async statsOf(device: string): Promise<DeviceStats> {
    const { devices } = await this.bd.request<{ devices: DeviceStats[] }>('stats', { device });
    return devices[0]!;
  }

  async #dispose(): Promise<void> {
    const { child } = this.daemon;
    if (child.exitCode !== null || child.signalCode !== null) await this.start();
    for (const { device } of await list(this.bd)) {
      await this.bd.request('close', { device, mode: 'abort' });
    }
  }
}

/** The mount points of a device, as this process sees them. */
export const isMounted = (path: string): boolean =>
  readFileSync('/proc/self/mounts', 'utf8').includes(`${path} `);
