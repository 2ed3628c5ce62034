// How long whoever reads and writes waits when varve-bd is killed: each time it is killed in the
// middle of a run of fio and started again at once, and the longest request is taken.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import { ending } from '../ending.ts';
import { print, rank, table } from '../report.ts';
import { json, output, type Programs } from './programs.ts';
import { configOf } from './sample.ts';

const killCount = 50;
const runSeconds = 1;

interface FioReport {
  readonly jobs: readonly {
    readonly read: { readonly clat_ns: { readonly max: number } };
    readonly write: { readonly clat_ns: { readonly max: number } };
  }[];
}

/** The longest request of a run, in ms. */
export async function longestMs(device: string, rw: 'randread' | 'randwrite'): Promise<number> {
  const { jobs } = await json<FioReport>('fio', [
    '--name=load',
    `--filename=${device}`,
    `--rw=${rw}`,
    '--bs=4k',
    '--direct=1',
    '--ioengine=libaio',
    '--iodepth=4',
    '--time_based',
    `--runtime=${runSeconds}`,
    '--output-format=json',
  ]);
  const longest = jobs.map(({ read, write }) => Math.max(read.clat_ns.max, write.clat_ns.max));
  return Math.max(...longest) / 1e6;
}

class Pair {
  readonly #programs: Programs;
  readonly #folder: string;
  readonly #flags: readonly string[];
  readonly #holder: ChildProcess;
  #daemon: ChildProcess;

  constructor(programs: Programs, folder: string, flags: readonly string[]) {
    this.#programs = programs;
    this.#folder = folder;
    this.#flags = flags;
    this.#holder = spawn(programs.holder, ['--socket', join(folder, 'holder.sock')], {
      stdio: 'ignore',
    });
    this.#daemon = this.#start();
  }

  #start(): ChildProcess {
    const socket = (name: string): string => join(this.#folder, name);
    return spawn(
      this.#programs.daemon,
      [
        ...['--socket', socket('bd.sock'), '--holder', socket('holder.sock')],
        ...['--log-level', 'error', ...this.#flags],
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
  }

  async replace(): Promise<void> {
    const ended = once(this.#daemon, 'exit');
    this.#daemon.kill('SIGKILL');
    await ended;
    this.#daemon = this.#start();
  }

  async connect(): Promise<BlockDaemonClient> {
    for (;;) {
      try {
        return await BlockDaemonClient.connect(join(this.#folder, 'bd.sock'));
      } catch (error) {
        if (this.#daemon.exitCode !== null) throw error;
        await delay(20);
      }
    }
  }

  async end(): Promise<void> {
    const ended = once(this.#daemon, 'exit');
    this.#daemon.kill('SIGINT');
    await ended;
    const released = once(this.#holder, 'exit');
    this.#holder.kill('SIGTERM');
    await released;
  }
}

/** `stack` holds a stack of one layer in each format. */
export async function measureSurvival(
  programs: Programs,
  { stack, scratch }: { readonly stack: string; readonly scratch: string },
): Promise<void> {
  const rows: string[][] = [];
  for (const [how, flags] of [
    ['the kernel sends requests again', []],
    ['the holder keeps requests', ['--no-resend']],
  ] as const) {
    for (const deviceCount of [1, 100]) {
      if (ending.aborted) return;
      const folder = join(scratch, 'survival');
      await mkdir(folder);
      const upper = { data: join(folder, 'data'), index: join(folder, 'index') };
      await output(programs.layer, ['create', upper.data, upper.index, '64M']);
      await writeFile(join(folder, 'rw.json'), JSON.stringify({ lowers: [], upper }));
      const pair = new Pair(programs, folder, flags);
      try {
        const client = await pair.connect();
        const open = async (config: string): Promise<string> =>
          (await client.request<{ readonly path: string }>('open', { config })).path;
        const written = await open(join(folder, 'rw.json'));
        const read = await open(configOf(stack, 'lz4'));
        for (let more = 2; more < deviceCount; more++) await open(configOf(stack, 'lz4'));
        client.close();
        for (const [name, device, rw] of [
          ['reads', read, 'randread'],
          ['writes', written, 'randwrite'],
        ] as const) {
          const stallsMs: number[] = [];
          for (let kill = 0; kill < killCount && !ending.aborted; kill++) {
            const longest = longestMs(device, rw);
            await delay(runSeconds * 400);
            await pair.replace();
            stallsMs.push(await longest);
          }
          const title = `${name}, ${how}, ${deviceCount === 1 ? '2' : deviceCount} devices`;
          rows.push([title, rank(stallsMs, 0.5), rank(stallsMs, 0.99), rank(stallsMs, 1)]);
        }
      } finally {
        await pair.end();
        await rm(folder, { recursive: true });
      }
    }
  }
  print('### Stall when varve-bd is killed');
  print();
  print(
    `The longest request of 4 KiB at depth 4 in ${runSeconds} s of fio, in the middle of which varve-bd ` +
      `is killed and started again at once; ${killCount} kills each.`,
  );
  print();
  table(['', 'p50', 'p99', 'longest'], rows);
}
