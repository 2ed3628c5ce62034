// `make bench`: varve beside containerd's own overlayfs snapshotter over gRPC, in one run: the same
// client, kind of socket and disk, the contestants in turn. Prints tables in Markdown; the figures
// in docs/performance.md are its output. Every cycle run ends with Cleanup inside the measured
// time. Usage: node bench/run.ts [--rounds N] [--seconds T] [--only cycles,reads,start] [--out
// FILE]
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { buildPrograms, type Programs } from './programs.ts';
import { startServer, type Contestant } from './servers.ts';

const run = promisify(execFile);
const checkout = dirname(dirname(fileURLToPath(import.meta.url)));

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    only: { type: 'string', default: 'cycles,reads,start' },
    out: { type: 'string' },
  },
});
const rounds = Number(options.rounds);
const parts = new Set(options.only.split(','));

interface LoadResult {
  readonly cyclesPerSecond?: number;
  readonly callsPerSecond: number;
  readonly calls: Readonly<Record<string, { readonly p50Ms?: number; readonly p99Ms?: number }>>;
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
};

const output: string[] = [];
function print(line = ''): void {
  output.push(line);
  console.log(line);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): void {
  print(`| ${head.join(' | ')} |`);
  print(`|${head.map((_, index) => (index === 0 ? '---' : '--:')).join('|')}|`);
  for (const row of rows) print(`| ${row.join(' | ')} |`);
  print();
}

function contestants(programs: Programs): readonly Contestant[] {
  const peer = (name: string, flags: readonly string[]): Contestant => ({
    name,
    command: (root, address) => [programs.peer, '--root', root, '--address', address, ...flags],
    config: {},
  });
  const varve = (name: string, config: object): Contestant => ({
    name,
    command: (root, address, config) => [
      join(checkout, 'bin', 'varve'),
      ...['serve', '--root', root, '--address', address, '--config', config],
      ...['--log-level', 'warn'],
    ],
    config,
  });
  return [
    peer('containerd overlayfs', []),
    varve('varve', { commitSync: 'none' }),
    varve('varve, commitSync syncfs', { commitSync: 'syncfs' }),
    peer('containerd overlayfs, asynchronous removal', ['--async-remove']),
    varve('varve, asyncRemove', { commitSync: 'none', asyncRemove: true }),
  ];
}

async function load(programs: Programs, args: readonly string[]): Promise<LoadResult> {
  const { stdout } = await run(programs.load, args, { maxBuffer: 1 << 24 });
  return JSON.parse(stdout) as LoadResult;
}

async function measureCycles(
  programs: Programs,
  scratch: string,
  present: number,
  clientCounts: readonly number[],
): Promise<void> {
  print(
    `### Cycles (Prepare, Mounts, Commit, Prepare, Remove, Remove), ${present} snapshots present`,
  );
  print();
  const all = contestants(programs);
  const measured = new Map<string, number[]>();
  for (const [index, contestant] of all.entries()) {
    const server = await startServer(contestant, join(scratch, `cycles-${present}-${index}`));
    if (present > 0) {
      const count = String(present);
      await load(programs, [
        'fill',
        '--address',
        server.address,
        '--snapshots',
        count,
        '--clients',
        '64',
      ]);
    }
    await server.stop();
  }
  for (let round = 0; round < rounds; round++) {
    for (const clients of clientCounts) {
      for (const [index, contestant] of all.entries()) {
        const server = await startServer(contestant, join(scratch, `cycles-${present}-${index}`));
        const result = await load(programs, [
          ...['cycles', '--address', server.address, '--clients', String(clients)],
          ...['--seconds', options.seconds],
        ]);
        await server.stop();
        const name = `${contestant.name}/${clients}`;
        measured.set(name, [...(measured.get(name) ?? []), result.cyclesPerSecond ?? Number.NaN]);
      }
    }
  }
  const cell = (contestant: Contestant, clients: number): string => {
    const mine = measured.get(`${contestant.name}/${clients}`) ?? [];
    const peers = measured.get(`${all[0]?.name}/${clients}`) ?? [];
    const ratio = median(mine.map((value, index) => value / (peers[index] ?? Number.NaN)));
    return `${median(mine).toFixed(0)}/s (${ratio.toFixed(2)}×)`;
  };
  table(
    ['', ...clientCounts.map((clients) => `${clients} client${clients === 1 ? '' : 's'}`)],
    all.map((contestant) => [
      contestant.name,
      ...clientCounts.map((count) => cell(contestant, count)),
    ]),
  );
}

async function measureReads(programs: Programs, scratch: string, present: number): Promise<void> {
  print(`### Reads, ${present} snapshots present: p50 at 1 client, calls per second at 8`);
  print();
  const pair = contestants(programs).slice(0, 2);
  const rows: string[][] = [];
  const figures = new Map<string, number[]>();
  const resident: string[] = [];
  for (const [index, contestant] of pair.entries()) {
    const server = await startServer(contestant, join(scratch, `reads-${present}-${index}`));
    const count = String(present);
    await load(programs, [
      'fill',
      '--address',
      server.address,
      '--snapshots',
      count,
      '--clients',
      '64',
    ]);
    await server.stop();
  }
  for (let round = 0; round < rounds; round++) {
    for (const [index, contestant] of pair.entries()) {
      const server = await startServer(contestant, join(scratch, `reads-${present}-${index}`));
      for (const operation of ['stat', 'mounts', 'list']) {
        for (const clients of [1, 8]) {
          const result = await load(programs, [
            ...['reads', '--address', server.address, '--clients', String(clients)],
            ...['--seconds', options.seconds, '--operation', operation],
          ]);
          const p50Ms = result.calls[operation]?.p50Ms ?? Number.NaN;
          const name = `${index}/${operation}/${clients}`;
          const value = clients === 1 ? p50Ms : result.callsPerSecond;
          figures.set(name, [...(figures.get(name) ?? []), value]);
        }
      }
      if (round === 0) resident[index] = `${(await server.residentMiB()).toFixed(0)} MiB`;
      await server.stop();
    }
  }
  for (const operation of ['stat', 'mounts', 'list']) {
    for (const clients of [1, 8]) {
      const of = (index: number): number =>
        median(figures.get(`${index}/${operation}/${clients}`) ?? []);
      const unit = clients === 1 ? 'ms' : '/s';
      const digits = clients === 1 ? 3 : 0;
      const ratio = median(
        (figures.get(`1/${operation}/${clients}`) ?? []).map(
          (value, round) =>
            value / (figures.get(`0/${operation}/${clients}`)?.[round] ?? Number.NaN),
        ),
      );
      rows.push([
        `${operation}, ${clients === 1 ? 'p50 at 1 client' : 'throughput at 8 clients'}`,
        `${of(0).toFixed(digits)} ${unit}`,
        `${of(1).toFixed(digits)} ${unit}`,
        `${ratio.toFixed(2)}×`,
      ]);
    }
  }
  rows.push(['resident memory', resident[0] ?? '', resident[1] ?? '', '']);
  table(['', 'containerd overlayfs', 'varve', 'ratio'], rows);
}

async function measureStart(programs: Programs, scratch: string): Promise<void> {
  print('### Start-up with 10,000 snapshots and about 100,000 events');
  print();
  const varve = contestants(programs)[1];
  if (varve === undefined) return;
  const directory = join(scratch, 'start');
  const rows: string[][] = [];
  const empty = await startServer(varve, directory);
  rows.push([
    'empty',
    `${empty.startMs.toFixed(0)} ms`,
    `${(await empty.residentMiB()).toFixed(0)} MiB`,
  ]);
  await load(programs, [
    ...['fill', '--address', empty.address, '--snapshots', '10000', '--clients', '64'],
  ]);
  await load(programs, [
    ...['cycles', '--address', empty.address, '--cycles', '8750', '--clients', '64'],
  ]);
  await empty.stop();
  const startsMs: number[] = [];
  let memory = '';
  for (let round = 0; round < rounds; round++) {
    const server = await startServer(varve, directory);
    startsMs.push(server.startMs);
    memory = `${(await server.residentMiB()).toFixed(0)} MiB`;
    await server.stop();
  }
  rows.push(['10,000 snapshots, 100,000 events', `${median(startsMs).toFixed(0)} ms`, memory]);
  table(['root', 'spawn to SERVING', 'resident memory'], rows);
}

async function main(): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'varve-bench-'));
  try {
    const programs = await buildPrograms(checkout, join(checkout, 'build', 'bench'));
    const model = /model name\s*:\s*(.+)/.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1] ?? '?';
    const memoryGiB = (totalmem() / 2 ** 30).toFixed(0);
    print(
      `Machine: ${cpus().length} × ${model}, ${memoryGiB} GiB, Linux ${release()}, virtual disk.`,
    );
    print(`Median of ${rounds} rounds of ${options.seconds} s; ratios are taken round by round.`);
    print();
    if (parts.has('cycles')) {
      await measureCycles(programs, scratch, 0, [1, 8, 64]);
      await measureCycles(programs, scratch, 10_000, [1, 64]);
    }
    if (parts.has('reads')) {
      await measureReads(programs, scratch, 1_000);
      await measureReads(programs, scratch, 10_000);
    }
    if (parts.has('start')) await measureStart(programs, scratch);
    if (options.out !== undefined) await writeFile(options.out, `${output.join('\n')}\n`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

await main();
