// Making layers: varve-layer's commands from start to durable file, beside one compressor that
// keeps its context and writes nothing.
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { median, print, table } from '../report.ts';
import { json, secondsOf, type Programs } from './programs.ts';
import { contentBytes } from './sample.ts';

interface Alone {
  readonly wallSeconds: number;
}

const megabytes = (seconds: number): string => `${(contentBytes / 1e6 / seconds).toFixed(0)} MB/s`;

/** `layer` is a finished layer that holds `content`. */
export async function measureCommits(
  programs: Programs,
  {
    folder,
    content,
    layer,
    rounds,
  }: Readonly<Record<'folder' | 'content' | 'layer', string>> & {
    readonly rounds: number;
  },
): Promise<void> {
  const target = join(folder, 'target');
  const timed = async (args: readonly string[]): Promise<number> => {
    const seconds = await secondsOf(programs.layer, args);
    await rm(target);
    return seconds;
  };
  const commit = ['commit', '--commit_sealed', layer, target];
  const cores = availableParallelism();
  const rows: string[][] = [];
  const raw: number[] = [];
  for (let round = 0; round < rounds; round++) raw.push(await timed(commit));
  rows.push(['raw', '', '', megabytes(median(raw))]);
  for (const algorithm of ['lz4', 'zstd']) {
    for (const blockKib of [4, 64]) {
      const alone: number[] = [];
      const compressed: number[] = [];
      const committed: number[] = [];
      const format = ['--algorithm', algorithm, '--bs', String(blockKib)];
      for (let round = 0; round < rounds; round++) {
        const args = [algorithm, String(blockKib * 1024), content];
        alone.push((await json<Alone>(programs.compressor, args)).wallSeconds);
        compressed.push(await timed(['compress', ...format, content, target]));
        committed.push(await timed([...commit, '-z', ...format]));
      }
      const cell = (seconds: readonly number[]): string => {
        const ratios = seconds.map((taken, round) => (alone[round] ?? Number.NaN) / taken / cores);
        return `${megabytes(median(seconds))} (${median(ratios).toFixed(2)}×)`;
      };
      rows.push([
        `${algorithm}, ${blockKib} KiB`,
        megabytes(median(alone)),
        cell(compressed),
        cell(committed),
      ]);
    }
  }
  print('### Compressing and committing');
  print();
  print(
    'varve-layer from its start until the file is durable, by the clock, and in brackets the ratio to ' +
      `${cores} times one compressor that keeps its context and writes nothing.`,
  );
  print();
  table(['', 'one compressor', 'compress', 'commit'], rows);
}
