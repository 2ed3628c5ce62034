// varve-bd with `--tcmu` in a test.
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { BlockDaemonClient } from '../../../src/adapters/block-daemon/client.ts';
import { client, start, type Daemon } from '../../native/block-daemon.ts';
import { scratchDirectory } from '../../native/scratch.ts';
import { detach, presentIds } from './disks.ts';

/** The daemon, killed and started as a test wishes; at its end nothing is left. */
export class TargetDaemon {
  readonly directory: string;
  readonly #t: TestContext;
  #daemon: Daemon | undefined;

  static async start(t: TestContext): Promise<TargetDaemon> {
    // Runs before those that end the daemons: a disk that nobody serves cannot be taken away.
    const hook: { dispose?: () => Promise<void> } = {};
    t.after(() => hook.dispose?.());
    const node = new TargetDaemon(t, scratchDirectory(t));
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

  async start(): Promise<BlockDaemonClient> {
    this.#daemon = await start(this.#t, join(this.directory, 'run/bd.sock'), ['--tcmu']);
    return this.client();
  }

  client(): Promise<BlockDaemonClient> {
    return client(this.#t, this.daemon);
  }

  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    return this.daemon.end(signal);
  }

  async #dispose(): Promise<void> {
    const { child } = this.daemon;
    if (child.exitCode !== null || child.signalCode !== null) await this.start();
    for (const id of presentIds()) await detach(id);
  }
}
