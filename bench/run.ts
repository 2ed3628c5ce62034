// `make bench`: prints tables in Markdown; the figures in docs/performance.md are its output.
//
// Snapshots (cycles, reads, start): varve beside containerd's own overlayfs snapshotter over gRPC,
// in one run: the same client, kind of socket and kind of disk, the contestants in turn. Every run
// of cycles ends with Cleanup inside the measured time, so that work put off is paid for.
//
// Containers on block images, beside that snapshotter on ordinary ones with the same files.
//
// Block layers (lookups, codecs, stacks, commits, apply, devices): each beside the least that it
// can cost. And how long whoever uses a device waits when varve-bd is killed (survival).
//
// The transports of devices beside a plain loop device, in virtual machines (transports).
//
//   run.ts [--rounds N] [--seconds T] [--warm-up T] [--only PART,...] [--out FILE]
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { blockParts, measureBlocks } from './blocks/measure.ts';
import { buildPrograms as buildNativePrograms } from './blocks/programs.ts';
import { measureContainers } from './containers/measure.ts';
import { ending } from './ending.ts';
import { print, report } from './report.ts';
import { contestants } from './snapshots/contestants.ts';
import { measureCycles, measureReads, measureStart, type Bench } from './snapshots/measure.ts';
import { buildPrograms } from './snapshots/programs.ts';
import { measureTransports } from './transports/measure.ts';

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));
const snapshotParts = ['cycles', 'reads', 'start', 'containers'] as const;
const allParts: readonly string[] = [...snapshotParts, ...blockParts, 'transports'];

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    'warm-up': { type: 'string', default: '2' },
    only: { type: 'string', default: allParts.join(',') },
    out: { type: 'string' },
  },
});

interface Settings {
  readonly scratch: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

async function describeMachine({ rounds, seconds, warmUpSeconds }: Settings): Promise<void> {
  const model = /model name\s*:\s*(.+)/.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1] ?? '?';
  const memoryGiB = (totalmem() / 2 ** 30).toFixed(0);
  print(
    `Machine: ${cpus().length} × ${model}, ${memoryGiB} GiB, Linux ${release()}, virtual disk.`,
  );
  print(
    `Median of ${rounds} rounds of ${seconds} s, after ${warmUpSeconds} s that do not count where ` +
      'servers are measured; ratios are taken round by round.',
  );
  print();
}

/** Snapshots of each contestant, against the peer that removes in the same way. */
async function measureSnapshots(parts: ReadonlySet<string>, settings: Settings): Promise<void> {
  const programs = await buildPrograms(checkout, join(checkout, 'build', 'bench'));
  const bench: Bench = {
    loadProgram: programs.load,
    contestants: contestants(programs, checkout),
    ...settings,
  };
  if (parts.has('cycles')) {
    await measureCycles(bench, 0, [1, 8, 64]);
    await measureCycles(bench, 10_000, [1, 64]);
  }
  if (parts.has('reads')) {
    await measureReads(bench, 1_000);
    await measureReads(bench, 10_000);
  }
  if (parts.has('start')) await measureStart(bench);
  if (parts.has('containers')) {
    const native = await buildNativePrograms(checkout);
    const { peer, varve } = bench.contestants;
    const { daemon, layer: layerTool } = native;
    await measureContainers({ ...settings, peer, varve, daemon, layerTool });
  }
}

async function main(): Promise<void> {
  const parts = new Set(options.only.split(','));
  for (const part of parts) {
    if (!allParts.includes(part)) throw new Error(`no part ${part}: ${allParts.join(', ')}`);
  }
  const scratch = await mkdtemp(join(tmpdir(), 'varve-bench-'));
  const settings: Settings = {
    scratch,
    rounds: Number(options.rounds),
    seconds: Number(options.seconds),
    warmUpSeconds: Number(options['warm-up']),
  };
  try {
    await describeMachine(settings);
    if (snapshotParts.some((part) => parts.has(part))) await measureSnapshots(parts, settings);
    if (blockParts.some((part) => parts.has(part))) {
      await measureBlocks(checkout, { parts, ...settings });
    }
    if (parts.has('transports')) await measureTransports(checkout, settings);
    if (options.out !== undefined) await writeFile(options.out, report());
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  process.exitCode = 1;
  const reason = (ending.aborted ? ending.reason : error) as Error;
  const cause = reason.cause instanceof Error ? `: ${reason.cause.message}` : '';
  console.error(`bench: ${reason.message}${cause}`);
}
