// varve-bd as a service of a test, and with a holder one that can be replaced.
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findNativeFile } from '../../../src/adapters/native/location.ts';
import { startService, waitUntilReady, type Service } from './service.ts';

export interface BlockDaemon {
  readonly address: string;
  readonly service: Service;
}

/** Whether somebody listens; what is left of a dead daemon is a socket, too. */
const isAnswered = (address: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(address);
    const answer = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', () => answer(true));
    // A holder's is not of the type of streams, which is said only where somebody listens.
    socket.once('error', (error: NodeJS.ErrnoException) => answer(error.code === 'EPROTOTYPE'));
  });

async function start(
  directory: string,
  name: 'varve-bd' | 'varve-bd-holder',
  address: string,
  flags: readonly string[] = [],
): Promise<Service> {
  const service = startService({
    name,
    argv: [findNativeFile(name), '--socket', address, ...flags],
    logPath: join(directory, `${name}.log`),
  });
  await waitUntilReady(service, () => isAnswered(address));
  return service;
}

export async function startBlockDaemon(
  directory: string,
  flags: readonly string[] = [],
): Promise<BlockDaemon> {
  const address = join(directory, 'bd.sock');
  return { address, service: await start(directory, 'varve-bd', address, flags) };
}

/** A daemon whose devices outlive it. */
export class HeldBlockDaemon implements BlockDaemon {
  readonly #holder: Service;
  readonly #startNext: () => Promise<BlockDaemon>;
  #daemon: BlockDaemon;

  private constructor(holder: Service, daemon: BlockDaemon, startNext: () => Promise<BlockDaemon>) {
    this.#holder = holder;
    this.#daemon = daemon;
    this.#startNext = startNext;
  }

  static async start(directory: string, flags: readonly string[] = []): Promise<HeldBlockDaemon> {
    const address = join(directory, 'holder.sock');
    const holder = await start(directory, 'varve-bd-holder', address);
    const startNext = (): Promise<BlockDaemon> =>
      startBlockDaemon(directory, ['--holder', address, ...flags]);
    return new HeldBlockDaemon(holder, await startNext(), startNext);
  }

  get address(): string {
    return this.#daemon.address;
  }

  get service(): Service {
    return this.#daemon.service;
  }

  /** kill -9, or SIGTERM as a service manager sends it; then the next one. */
  async replace(how: 'kill' | 'stop'): Promise<void> {
    await this.service[how]();
    rmSync(this.address, { force: true });
    this.#daemon = await this.#startNext();
  }

  /** Ends the devices, too. */
  async stop(): Promise<void> {
    if (this.service.isRunning()) process.kill(this.service.pid, 'SIGINT');
    await this.service.stop();
    await this.#holder.stop();
  }
}
