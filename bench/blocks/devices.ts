// Devices as their users see them: fio on devices of varve-bd, beside a plain loop device on the
// uncompressed content; and the memory of each device.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import { ending } from '../ending.ts';
import { median, print, ratioOf, table } from '../report.ts';
import { json, output, type Programs } from './programs.ts';
import { configOf, formats } from './sample.ts';

interface Job {
  readonly name: string;
  readonly args: readonly string[];
  readonly isSequential: boolean;
}

export const jobs: readonly Job[] = [1, 32].flatMap((depth) => [
  {
    name: `sequential 1 MiB, depth ${depth}`,
    args: ['--rw=read', '--bs=1m', `--iodepth=${depth}`],
    isSequential: true,
  },
  {
    name: `random 4 KiB, depth ${depth}`,
    args: ['--rw=randread', '--bs=4k', `--iodepth=${depth}`],
    isSequential: false,
  },
]);

interface FioReport {
  readonly jobs: readonly { readonly read: { readonly iops: number; readonly bw_bytes: number } }[];
}

/** MB/s of a sequential job, thousand reads a second of a random one. */
export async function fio(device: string, job: Job, seconds: number): Promise<number> {
  const { jobs: done } = await json<FioReport>('fio', [
    '--name=read',
    `--filename=${device}`,
    '--readonly',
    '--direct=1',
    '--ioengine=libaio',
    '--time_based',
    '--ramp_time=0.5',
    `--runtime=${seconds}`,
    '--output-format=json',
    ...job.args,
  ]);
  const { iops, bw_bytes: bandwidth } = done[0]?.read ?? { iops: Number.NaN, bw_bytes: Number.NaN };
  return job.isSequential ? bandwidth / 1e6 : iops / 1e3;
}

/** Calls `work` with a daemon of its own. */
async function withDaemon<Value>(
  programs: Programs,
  folder: string,
  work: (client: BlockDaemonClient, daemon: ChildProcess) => Promise<Value>,
): Promise<Value> {
  const socket = join(folder, 'bd.sock');
  const daemon = spawn(programs.daemon, ['--socket', socket, '--log-level', 'error'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(daemon, 'exit');
  try {
    const client = await connect(socket, daemon);
    try {
      return await work(client, daemon);
    } finally {
      client.close();
    }
  } finally {
    daemon.kill('SIGTERM');
    await ended;
  }
}

async function connect(socket: string, daemon: ChildProcess): Promise<BlockDaemonClient> {
  const giveUpAtMs = Date.now() + 10_000;
  for (;;) {
    try {
      return await BlockDaemonClient.connect(socket);
    } catch (error) {
      if (daemon.exitCode !== null || Date.now() > giveUpAtMs) throw error;
      await delay(20);
    }
  }
}

interface Opened {
  readonly path: string;
}

/** `folder` holds a stack of one layer in each format, and what it reads as in `content`. */
export async function measureDevices(
  programs: Programs,
  {
    folder,
    content,
    where,
    rounds,
    seconds,
  }: Readonly<Record<'folder' | 'content' | 'where', string>> & {
    readonly rounds: number;
    readonly seconds: number;
  },
): Promise<void> {
  const figures = new Map<string, number[]>();
  const loop = (
    await output('losetup', ['--find', '--show', '--read-only', '--direct-io=on', content])
  ).trim();
  try {
    await withDaemon(programs, folder, async (client) => {
      const devices = new Map([['loop device', loop]]);
      for (const format of formats) {
        const { path } = await client.request<Opened>('open', { config: configOf(folder, format) });
        devices.set(format, path);
      }
      for (let round = 0; round < rounds; round++) {
        for (const job of jobs) {
          for (const [name, device] of devices) {
            const key = `${job.name}/${name}`;
            const figure = await fio(device, job, seconds);
            figures.set(key, [...(figures.get(key) ?? []), figure]);
          }
        }
      }
    });
  } finally {
    await output('losetup', ['--detach', loop]);
  }
  print(`### Devices, layers and content ${where}`);
  print();
  print('fio with direct I/O (the ratio to a plain loop device with direct I/O on the content).');
  print();
  table(
    ['', 'loop device', ...formats],
    jobs.map((job) => {
      const plain = figures.get(`${job.name}/loop device`) ?? [];
      const text = (values: readonly number[]): string =>
        job.isSequential ? `${median(values).toFixed(0)} MB/s` : `${median(values).toFixed(1)} k/s`;
      return [
        job.name,
        text(plain),
        ...formats.map((format) => {
          const values = figures.get(`${job.name}/${format}`) ?? [];
          return `${text(values)} (${ratioOf(values, plain)})`;
        }),
      ];
    }),
  );
}

/** In KiB: what the process itself has, without programs and layers that it maps. */
export async function memoryKib(daemon: ChildProcess): Promise<number> {
  const text = await readFile(`/proc/${daemon.pid}/smaps_rollup`, 'utf8');
  return Number(/^Anonymous:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN);
}

/** `stacks` holds a folder for each count of layers. */
export async function measureMemory(
  programs: Programs,
  { stacks, folder }: { stacks: ReadonlyMap<number, string>; folder: string },
): Promise<void> {
  const deviceCount = 50;
  const rows: string[][] = [];
  for (const [layerCount, stack] of stacks) {
    for (const format of formats) {
      if (ending.aborted) return;
      const row = await withDaemon(programs, folder, async (client, daemon) => {
        await client.request('list');
        const before = await memoryKib(daemon);
        const open = (): Promise<Opened> =>
          client.request<Opened>('open', { config: configOf(stack, format) });
        const { path } = await open();
        await output('dd', [`if=${path}`, 'of=/dev/null', 'bs=1M', 'iflag=direct', 'count=64']);
        const first = await memoryKib(daemon);
        for (let device = 1; device < deviceCount; device++) await open();
        const each = (await memoryKib(daemon)) - first;
        return [
          `${format}, ${layerCount} layer${layerCount === 1 ? '' : 's'}`,
          `${(before / 1024).toFixed(1)} MiB`,
          `${(first / 1024).toFixed(1)} MiB`,
          `${(each / (deviceCount - 1)).toFixed(0)} KiB`,
        ];
      });
      rows.push(row);
    }
  }
  print(`### Memory of varve-bd`);
  print();
  print(
    "Resident memory of its own (mapped layers are the page cache's); the last column is the growth " +
      `by each of ${deviceCount} devices.`,
  );
  print();
  table(['', 'no device', 'one device, read from', 'each further device'], rows);
}
