// Runs in the virtual machine: devices by each of its transports beside a plain loop device, all on
// files in memory. Prints a document of figures (Measured) on standard output.
//
//   inside.ts FOLDER OPTIONS
import { once } from 'node:events';
import { spawn, type ChildProcess } from 'node:child_process';
import { cp, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import * as target from '../../test/vm/tcmu/disks.ts';
import { fio, jobs, memoryKib } from '../blocks/devices.ts';
import { output } from '../blocks/programs.ts';
import { configOf, formats, type Format } from '../blocks/sample.ts';
import { longestMs } from '../blocks/survival.ts';
import { ramDisk } from './ram-disk.ts';

export interface Options {
  readonly daemon: string;
  readonly holder: string;
  readonly layerTool: string;
  readonly transports: readonly Transport[];
  readonly rounds: number;
  readonly seconds: number;
  readonly attachCount: number;
  readonly deviceCount: number;
  readonly killCount: number;
}

export type Transport = 'fuse' | 'tcmu' | 'ublk';

/** Figures by what was measured, such as `random 4 KiB, depth 1/tcmu/lz4`: one for each round. */
export interface Measured {
  readonly rates: Readonly<Record<string, readonly number[]>>;
  /** From the request for a device until it can be read, and until it is gone; ms. */
  readonly attachMs: Readonly<Record<string, readonly number[]>>;
  readonly detachMs: Readonly<Record<string, readonly number[]>>;
  /** The longest request of each run in which the daemon was killed; ms. */
  readonly stallMs: Readonly<Record<string, readonly number[]>>;
  /** What each further device takes of the daemon's memory. */
  readonly deviceKib: Readonly<Record<string, number>>;
}

const scratch = '/scratch/bench';

interface Attached {
  readonly path: string;
  readonly close: () => Promise<unknown>;
}

class Node {
  readonly #options: Options;
  readonly #holder: ChildProcess;
  daemon: ChildProcess;
  #nextId = 1;

  constructor(options: Options) {
    this.#options = options;
    this.#holder = spawn(options.holder, ['--socket', join(scratch, 'holder.sock')], {
      stdio: 'ignore',
    });
    this.daemon = this.#start();
  }

  #start(): ChildProcess {
    const sockets = ['bd.sock', 'holder.sock'].map((name) => join(scratch, name));
    const [socket = '', holder = ''] = sockets;
    const flags = this.#options.transports.includes('tcmu') ? ['--tcmu'] : [];
    return spawn(
      this.#options.daemon,
      ['--socket', socket, '--holder', holder, '--log-level', 'error', ...flags],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
  }

  async connect(): Promise<BlockDaemonClient> {
    for (;;) {
      try {
        return await BlockDaemonClient.connect(join(scratch, 'bd.sock'));
      } catch (error) {
        if (this.daemon.exitCode !== null) throw error;
        await delay(20);
      }
    }
  }

  async replace(): Promise<void> {
    const ended = once(this.daemon, 'exit');
    this.daemon.kill('SIGKILL');
    await ended;
    this.daemon = this.#start();
  }

  async end(): Promise<void> {
    const ended = once(this.daemon, 'exit');
    this.daemon.kill('SIGINT');
    await ended;
    this.#holder.kill('SIGTERM');
  }

  /** A device on an image; `close` takes it away again. */
  async attach(transport: Transport, config: string): Promise<Attached> {
    const id = String(this.#nextId++);
    if (transport === 'tcmu') {
      const { path } = await target.attach(id, config);
      return { path, close: () => target.detach(id) };
    }
    const device = `device-${id}`;
    const ask = async <Answer>(operation: string, fields: object): Promise<Answer> => {
      const client = await this.connect();
      try {
        return await client.request<Answer>(operation, { device, ...fields });
      } finally {
        client.close();
      }
    };
    const { path } = await ask<{ readonly path: string }>('open', { config, transport });
    return { path, close: () => ask('close', {}) };
  }
}

async function loopOn(file: string): Promise<Attached> {
  const path = (await output('losetup', ['--find', '--show', '--read-only', file])).trim();
  return { path, close: () => output('losetup', ['--detach', path]) };
}

const add = (figures: Record<string, number[]>, key: string, value: number): void => {
  (figures[key] ??= []).push(value);
};

async function measureRates(
  node: Node,
  { transports, rounds, seconds }: Options,
): Promise<Measured['rates']> {
  const rates: Record<string, number[]> = {};
  const loop = await loopOn(join(scratch, 'content'));
  const devices: (Attached & { readonly key: string })[] = [{ key: 'loop', ...loop }];
  for (const transport of transports) {
    for (const format of formats) {
      const device = await node.attach(transport, configOf(scratch, format));
      devices.push({ key: `${transport}/${format}`, ...device });
    }
  }
  if (transports.includes('tcmu')) {
    const { size } = await stat(join(scratch, 'content'));
    devices.push({ key: 'ram', ...(await ramDisk(size)) });
  }
  for (let round = 0; round < rounds; round++) {
    for (const job of jobs) {
      for (const { key, path } of devices) {
        add(rates, `${job.name}/${key}`, await fio(path, job, seconds));
      }
    }
  }
  for (const { close } of devices) await close();
  return rates;
}

async function measureAttach(
  node: Node,
  { transports, attachCount }: Options,
): Promise<Pick<Measured, 'attachMs' | 'detachMs'>> {
  const attachMs: Record<string, number[]> = {};
  const detachMs: Record<string, number[]> = {};
  const ways = new Map<string, () => Promise<Attached>>([
    ['loop', () => loopOn(join(scratch, 'content'))],
  ]);
  for (const transport of transports) {
    ways.set(transport, () => node.attach(transport, configOf(scratch, 'raw')));
  }
  for (let count = 0; count < attachCount; count++) {
    for (const [name, attach] of ways) {
      const beganMs = performance.now();
      const { close } = await attach();
      const attachedMs = performance.now();
      await close();
      add(attachMs, name, attachedMs - beganMs);
      add(detachMs, name, performance.now() - attachedMs);
    }
  }
  return { attachMs, detachMs };
}

async function measureMemory(
  node: Node,
  { transports, deviceCount }: Options,
): Promise<Measured['deviceKib']> {
  const deviceKib: Record<string, number> = {};
  for (const transport of transports) {
    const format: Format = 'lz4';
    const first = await node.attach(transport, configOf(scratch, format));
    await output('dd', [`if=${first.path}`, 'of=/dev/null', 'bs=1M', 'iflag=direct', 'count=16']);
    const before = await memoryKib(node.daemon);
    const more = [];
    for (let count = 1; count < deviceCount; count++) {
      more.push(await node.attach(transport, configOf(scratch, format)));
    }
    deviceKib[transport] = ((await memoryKib(node.daemon)) - before) / (deviceCount - 1);
    for (const { close } of [first, ...more]) await close();
  }
  return deviceKib;
}

async function measureStalls(
  node: Node,
  { layerTool, transports, killCount }: Options,
): Promise<Measured['stallMs']> {
  const stallMs: Record<string, number[]> = {};
  for (const transport of transports) {
    // Measured on the machine itself (survival).
    if (transport === 'fuse') continue;
    const upper = {
      data: join(scratch, `${transport}.data`),
      index: join(scratch, `${transport}.index`),
    };
    await output(layerTool, ['create', upper.data, upper.index, '32M']);
    const config = join(scratch, `${transport}.json`);
    await writeFile(config, JSON.stringify({ lowers: [], upper, resultFile: `${config}.result` }));
    const written = await node.attach(transport, config);
    const read = await node.attach(transport, configOf(scratch, 'lz4'));
    for (const [kind, { path }, rw] of [
      ['reads', read, 'randread'],
      ['writes', written, 'randwrite'],
    ] as const) {
      for (let kill = 0; kill < killCount; kill++) {
        const longest = longestMs(path, rw);
        await delay(600);
        await node.replace();
        add(stallMs, `${transport}/${kind}`, await longest);
        (await node.connect()).close();
      }
    }
    for (const { close } of [written, read]) await close();
  }
  return stallMs;
}

async function main(folder: string, options: Options): Promise<void> {
  await mkdir(scratch);
  await cp(folder, scratch, { recursive: true });
  const node = new Node(options);
  (await node.connect()).close();
  const measured: Measured = {
    rates: await measureRates(node, options),
    ...(await measureAttach(node, options)),
    deviceKib: await measureMemory(node, options),
    stallMs: await measureStalls(node, options),
  };
  await node.end();
  process.stdout.write(JSON.stringify(measured));
}

const [folder = '', optionsFile = ''] = process.argv.slice(2);
await main(folder, JSON.parse(await readFile(optionsFile, 'utf8')) as Options);
