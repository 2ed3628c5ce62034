// Puts a tar of 1 GiB, like the layer of an image, into a new layer with `varve-layer apply`, and
// extracts it with tar into an ext4 of its own, in turns. A copy of the tar by dd is what the page
// cache takes. Wall clock ends when everything is with the kernel; making it durable depends on the
// disk alone and is given beside it.
import { spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { median, print, ratioOf, table } from '../report.ts';
import { makeDisk } from '../snapshots/disk.ts';
import { writeLayerTar, type LayerTar } from './layer-tar.ts';
import type { Programs } from './programs.ts';

interface Run {
  readonly wallSeconds: number;
  /** Of the program and what it started, in user and kernel mode. */
  readonly processorSeconds: number;
  readonly output: string;
}

/** Runs a program under bash's `time`, which knows what processor time its children took. */
async function timed(program: string, args: readonly string[]): Promise<Run> {
  const script = 'TIMEFORMAT="%R %U %S"; time "$@"';
  const child = spawn('bash', ['-c', script, 'bench', program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${errors.trim()}`);
  const times = errors.trim().split('\n').at(-1)?.split(' ').map(Number) ?? [];
  const [wallSeconds = Number.NaN, user = Number.NaN, kernel = Number.NaN] = times;
  return { wallSeconds, processorSeconds: user + kernel, output };
}

interface Contestant {
  readonly name: string;
  /** Only the program itself is timed; what it made is removed. */
  run(): Promise<{ wallSeconds: number; processorSeconds: number; durableSeconds: number }>;
}

interface Place {
  /** varve-layer. */
  readonly tool: string;
  readonly scratch: string;
  /** Where tar extracts. */
  readonly mounted: string;
  readonly tar: string;
}

/** Into a new writable layer. */
function applied(
  { tool, scratch, tar }: Place,
  name: string,
  createOptions: readonly string[],
): Contestant {
  return {
    name,
    async run() {
      const folder = join(scratch, 'upper');
      await mkdir(folder);
      const [data, index] = [join(folder, 'data'), join(folder, 'index')];
      const config = join(folder, 'config.v1.json');
      await timed(tool, ['create', ...createOptions, data, index, '8G']);
      await writeFile(config, JSON.stringify({ lowers: [], upper: { data, index } }));
      const run = await timed(tool, ['apply', '--mkfs', '--json', tar, config]);
      const { seconds } = JSON.parse(run.output) as { seconds: { durable: number } };
      await rm(folder, { recursive: true });
      const wallSeconds = run.wallSeconds - seconds.durable;
      return { ...run, wallSeconds, durableSeconds: seconds.durable };
    },
  };
}

function extracted({ mounted, tar }: Place): Contestant {
  return {
    name: 'tar into a mounted ext4',
    async run() {
      const folder = join(mounted, 'tree');
      await mkdir(folder);
      const run = await timed('tar', ['-C', folder, '--xattrs', '-xf', tar]);
      const sync = await timed('sync', ['-f', mounted]);
      await rm(folder, { recursive: true });
      await timed('sync', ['-f', mounted]);
      return { ...run, durableSeconds: sync.wallSeconds };
    },
  };
}

function copied({ scratch, tar }: Place): Contestant {
  return {
    name: 'a copy of the tar by dd',
    async run() {
      const copy = join(scratch, 'copy');
      const run = await timed('dd', [`if=${tar}`, `of=${copy}`, 'bs=1M', 'status=none']);
      const sync = await timed('sync', ['-d', copy]);
      await rm(copy);
      return { ...run, durableSeconds: sync.wallSeconds };
    },
  };
}

interface Figures {
  readonly wall: number[];
  readonly processor: number[];
  readonly durable: number[];
}

async function measure(
  contestants: readonly Contestant[],
  { megabytes, rounds }: { megabytes: number; rounds: number },
): Promise<Map<string, Figures>> {
  const figures = new Map(
    contestants.map(({ name }): [string, Figures] => [
      name,
      { wall: [], processor: [], durable: [] },
    ]),
  );
  // The first round does not count: it brings the tar into the page cache.
  for (let round = 0; round <= rounds; round++) {
    for (const { name, run } of contestants) {
      const { wallSeconds, processorSeconds, durableSeconds } = await run();
      if (round === 0) continue;
      figures.get(name)?.wall.push(megabytes / wallSeconds);
      figures.get(name)?.processor.push(megabytes / processorSeconds);
      figures.get(name)?.durable.push(megabytes / (wallSeconds + durableSeconds));
    }
  }
  return figures;
}

function report(figures: ReadonlyMap<string, Figures>, { bytes, entries }: LayerTar): void {
  const theirs = figures.get('tar into a mounted ext4')?.wall ?? [];
  print(`### A tar of ${bytes / 2 ** 20} MiB with ${entries} entries becomes a file system`);
  print();
  table(
    ['', 'MB/s', 'entries/s', 'MB per s of processor time', 'MB/s until durable', 'beside tar'],
    [...figures].map(([name, { wall, processor, durable }]) => [
      name,
      median(wall).toFixed(0),
      ((median(wall) / (bytes / 1e6)) * entries).toFixed(0),
      median(processor).toFixed(0),
      median(durable).toFixed(0),
      ratioOf(wall, theirs),
    ]),
  );
}

/** `scratch` is a directory on a disk. */
export async function measureApply(
  programs: Programs,
  { scratch, rounds }: { scratch: string; rounds: number },
): Promise<void> {
  const tar = join(scratch, 'layer.tar');
  const made = writeLayerTar(tar);
  const disk = await makeDisk(join(scratch, 'mounted'));
  try {
    const place = { tool: programs.layer, scratch, mounted: disk.path, tar };
    const contestants = [
      applied(place, 'apply, append-only layer', []),
      applied(place, 'apply, sparse layer', ['--sparse']),
      extracted(place),
      copied(place),
    ];
    report(await measure(contestants, { megabytes: made.bytes / 1e6, rounds }), made);
  } finally {
    await disk.remove();
    await rm(tar);
  }
}
