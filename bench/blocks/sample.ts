// What is measured: a virtual disk of machine code, as stacks of layers in each format. The merged
// content of every stack is the same file.
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { output, type Programs } from './programs.ts';

export const contentBytes = 512 * 2 ** 20;

export const formats = ['raw', 'lz4', 'zstd'] as const;
export type Format = (typeof formats)[number];

export const layerCounts = [1, 10, 50] as const;

/** Writes Node's own program again and again, until the file is full. */
export async function makeContent(path: string, sizeBytes = contentBytes): Promise<void> {
  const { size } = await stat(process.execPath);
  await writeFile(path, '');
  for (let length = 0; length < sizeBytes; length += size) {
    await pipeline(createReadStream(process.execPath), createWriteStream(path, { flags: 'a' }));
  }
  await truncate(path, sizeBytes);
}

/** Makes a stack in each format below `folder`. */
export async function makeStacks(
  programs: Programs,
  { folder, layerCount, content }: { folder: string; layerCount: number; content: string },
): Promise<void> {
  for (const format of formats) await mkdir(join(folder, format), { recursive: true });
  await output(programs.stack, [join(folder, 'raw'), String(layerCount), content]);
  for (const format of formats) {
    const lowers = Array.from({ length: layerCount }, (_, layer) => ({
      file: `${format}/${layer}`,
    }));
    const config = { lowers, resultFile: `${format}.result` };
    await writeFile(configOf(folder, format), JSON.stringify(config));
    if (format === 'raw') continue;
    for (const { file } of lowers) {
      const raw = join(folder, 'raw', file.slice(format.length + 1));
      await output(programs.layer, ['compress', '--algorithm', format, raw, join(folder, file)]);
    }
  }
}

export const configOf = (folder: string, format: Format): string => join(folder, `${format}.json`);
