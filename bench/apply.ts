// Puts a tar of 1 GiB, like the layer of an image, into a new layer with `varve-layer apply`, and
// extracts it with tar into an ext4 of its own, in turns. A copy of the tar by dd is what the page
// cache takes. Wall clock ends when everything is with the kernel; making it durable depends on the
// disk alone and is given beside it.
//
//   apply.ts [--json] [--rounds N] [--tool FILE]
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { makeDisk } from './disk.ts';
import { writeLayerTar, type LayerTar } from './layer-tar.ts';
import { median, print, ratioOf, table } from './report.ts';

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));
const temporaryFileSystem = 0x01021994;

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    tool: { type: 'string', default: join(checkout, 'build', 'native', 'varve-layer') },
  },
});

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
  readonly scratch: string;
  /** Where tar extracts. */
  readonly mounted: string;
  readonly tar: string;
}

/** Into a new writable layer. */
function applied(
  { scratch, tar }: Place,
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
      await timed(options.tool, ['create', ...createOptions, data, index, '8G']);
      await writeFile(config, JSON.stringify({ lowers: [], upper: { data, index } }));
      const run = await timed(options.tool, ['apply', '--mkfs', '--json', tar, config]);
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
  megabytes: number,
): Promise<Map<string, Figures>> {
  const figures = new Map(
    contestants.map(({ name }): [string, Figures] => [
      name,
      { wall: [], processor: [], durable: [] },
    ]),
  );
  // The first round does not count: it brings the tar into the page cache.
  for (let round = 0; round <= Number(options.rounds); round++) {
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
  const rows = [...figures].map(([name, { wall, processor, durable }]) => ({
    name,
    megabytesPerSecond: median(wall),
    megabytesPerProcessorSecond: median(processor),
    megabytesPerSecondUntilDurable: median(durable),
    entriesPerSecond: (median(wall) / (bytes / 1e6)) * entries,
  }));
  if (options.json) {
    console.log(JSON.stringify({ tarBytes: bytes, entries, contestants: rows }, null, 2));
    return;
  }
  const theirs = figures.get('tar into a mounted ext4')?.wall ?? [];
  print(`### A tar of ${bytes / 2 ** 20} MiB with ${entries} entries becomes a file system`);
  print();
  table(
    ['', 'MB/s', 'entries/s', 'MB per s of processor time', 'MB/s until durable', 'beside tar'],
    rows.map((row) => [
      row.name,
      row.megabytesPerSecond.toFixed(0),
      row.entriesPerSecond.toFixed(0),
      row.megabytesPerProcessorSecond.toFixed(0),
      row.megabytesPerSecondUntilDurable.toFixed(0),
      ratioOf(figures.get(row.name)?.wall ?? [], theirs),
    ]),
  );
}

async function main(): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'varve-bench-apply-'));
  try {
    if ((await statfs(scratch)).type === temporaryFileSystem) {
      throw new Error(`${scratch} is in memory; TMPDIR has to name a directory on a disk`);
    }
    const tar = join(scratch, 'layer.tar');
    const made = writeLayerTar(tar);
    const disk = await makeDisk(join(scratch, 'mounted'));
    try {
      const place = { scratch, mounted: disk.path, tar };
      const contestants = [
        applied(place, 'apply, append-only layer', []),
        applied(place, 'apply, sparse layer', ['--sparse']),
        extracted(place),
        copied(place),
      ];
      report(await measure(contestants, made.bytes / 1e6), made);
    } finally {
      await disk.remove();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  process.exitCode = 1;
  console.error(`bench: ${(error as Error).message}`);
}
