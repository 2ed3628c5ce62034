// `make bench`: varve beside containerd's own overlayfs snapshotter over gRPC, in one run: the same
// client, kind of socket and kind of disk, the contestants in turn. Prints tables in Markdown; the
// figures in docs/performance.md are its output. Every run of cycles ends with Cleanup inside the
// measured time, so that work put off is paid for.
//
//   run.ts [--rounds N] [--seconds T] [--warm-up T] [--only cycles,reads,start] [--out FILE]
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { contestants } from './contestants.ts';
import { ending } from './ending.ts';
import { measureCycles, measureReads, measureStart, type Bench } from './measure.ts';
import { buildPrograms } from './programs.ts';
import { print, report } from './report.ts';

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    'warm-up': { type: 'string', default: '2' },
    only: { type: 'string', default: 'cycles,reads,start' },
    out: { type: 'string' },
  },
});

async function describeMachine(bench: Bench): Promise<void> {
  const model = /model name\s*:\s*(.+)/.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1] ?? '?';
  const memoryGiB = (totalmem() / 2 ** 30).toFixed(0);
  print(
    `Machine: ${cpus().length} × ${model}, ${memoryGiB} GiB, Linux ${release()}, virtual disk.`,
  );
  print(
    `Median of ${bench.rounds} rounds of ${bench.seconds} s, after ${bench.warmUpSeconds} s that ` +
      'do not count; ratios are taken round by round, against the peer that removes in the same way.',
  );
  print();
}

async function main(): Promise<void> {
  const parts = new Set(options.only.split(','));
  const scratch = await mkdtemp(join(tmpdir(), 'varve-bench-'));
  try {
    const programs = await buildPrograms(checkout, join(checkout, 'build', 'bench'));
    const bench: Bench = {
      loadProgram: programs.load,
      contestants: contestants(programs, checkout),
      scratch,
      rounds: Number(options.rounds),
      seconds: Number(options.seconds),
      warmUpSeconds: Number(options['warm-up']),
    };
    await describeMachine(bench);
    if (parts.has('cycles')) {
      await measureCycles(bench, 0, [1, 8, 64]);
      await measureCycles(bench, 10_000, [1, 64]);
    }
    if (parts.has('reads')) {
      await measureReads(bench, 1_000);
      await measureReads(bench, 10_000);
    }
    if (parts.has('start')) await measureStart(bench);
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
