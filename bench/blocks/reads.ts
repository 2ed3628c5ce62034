// The whole read path: stacks of layers read by varve-layer bench, beside pread of the same pieces
// and, where they are compressed, the bare codec on their blocks.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { median, print, ratioOf, table } from '../report.ts';
import { json, type Programs } from './programs.ts';
import { configOf, contentBytes, formats, layerCounts, type Format } from './sample.ts';

interface Pattern {
  readonly name: string;
  readonly sizeBytes: number;
  readonly isSequential: boolean;
}

const patterns: readonly Pattern[] = [
  { name: 'random 4 KiB', sizeBytes: 4096, isSequential: false },
  { name: 'random 64 KiB', sizeBytes: 65_536, isSequential: false },
  { name: 'sequential 1 MiB', sizeBytes: 2 ** 20, isSequential: true },
];

/** So much that a run takes some tenths of a second. */
const bytesRead: Readonly<Record<Format, number>> = {
  raw: 3 * 2 ** 30,
  lz4: 1.25 * 2 ** 30,
  zstd: 2 ** 28,
};

/** Lines for varve-layer bench; the same ones each time. */
function ranges(pattern: Pattern, format: Format): string {
  const { sizeBytes, isSequential } = pattern;
  const count = Math.floor(bytesRead[format] / (sizeBytes === 4096 ? 2 : 1) / sizeBytes);
  const places = Math.floor((contentBytes - sizeBytes) / 4096);
  let state = sizeBytes;
  const lines: string[] = [];
  for (let read = 0; read < count; read++) {
    // Numerical Recipes' generator: enough for places that have no pattern.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const offset = isSequential
      ? (read * sizeBytes) % contentBytes
      : Math.floor((state / 2 ** 32) * places) * 4096;
    lines.push(`${offset} ${sizeBytes}`);
  }
  return `${lines.join('\n')}\n`;
}

interface Ours {
  readonly reads: number;
  readonly cpu: { readonly seconds: number };
  readonly wall: { readonly seconds: number };
}
interface Least {
  readonly reads: number;
  readonly cpuSeconds: number;
}

/** One cell: the rate, its ratio to the least that it can cost, and the gain of a second thread. */
async function measure(
  programs: Programs,
  { config, rangesFile, rounds }: { config: string; rangesFile: string; rounds: number },
): Promise<string> {
  const ours: number[] = [];
  const least: number[] = [];
  const alone: number[] = [];
  const together: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const args = ['bench', config, '--ranges', rangesFile, '--json', '--threads'];
    const one = await json<Ours>(programs.layer, [...args, '1']);
    const bare = await json<Least>(programs.pieces, [config, rangesFile]);
    const two = await json<Ours>(programs.layer, [...args, '2']);
    ours.push(one.reads / one.cpu.seconds);
    least.push(bare.reads / bare.cpuSeconds);
    alone.push(one.reads / one.wall.seconds);
    together.push(two.reads / two.wall.seconds);
  }
  const rate =
    median(ours) >= 1e4 ? `${(median(ours) / 1e3).toFixed(0)} k` : median(ours).toFixed(0);
  return `${rate}/s (${ratioOf(ours, least)}; ${ratioOf(together, alone)})`;
}

/** `stacks` holds a folder for each count of layers, as makeStacks leaves it. */
export async function measureReadPath(
  programs: Programs,
  { stacks, rounds }: { stacks: ReadonlyMap<number, string>; rounds: number },
): Promise<void> {
  const rows: string[][] = [];
  for (const format of formats) {
    for (const layerCount of layerCounts) {
      const folder = stacks.get(layerCount) ?? '';
      const row = [`${format}, ${layerCount} layer${layerCount === 1 ? '' : 's'}`];
      for (const pattern of patterns) {
        const rangesFile = join(folder, 'ranges');
        await writeFile(rangesFile, ranges(pattern, format));
        row.push(await measure(programs, { config: configOf(folder, format), rangesFile, rounds }));
      }
      rows.push(row);
    }
  }
  print('### Reading stacks of layers');
  print();
  print(
    'Reads a second of one thread, by its processor time (the ratio to pread of the same pieces and, ' +
      'for compressed layers, the bare codec without checksums; what a second thread makes of it, by ' +
      'the clock). Blocks of 4 KiB, with checksums.',
  );
  print();
  table(['', ...patterns.map(({ name }) => name)], rows);
}
