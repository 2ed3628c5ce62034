// All that is measured of block layers, on samples that are made and deleted here.
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { print } from '../report.ts';
import { measureApply } from './apply.ts';
import { measureCommits } from './commits.ts';
import { measureDevices, measureMemory } from './devices.ts';
import { measureLookups } from './lookups.ts';
import { buildPrograms, output } from './programs.ts';
import { measureReadPath } from './reads.ts';
import { layerCounts, makeContent, makeStacks } from './sample.ts';
import { measureSurvival } from './survival.ts';

export const blockParts = [
  'lookups',
  'codecs',
  'stacks',
  'commits',
  'apply',
  'devices',
  'survival',
] as const;

/** `scratch` is a directory on a disk; another one is made in memory. */
export async function measureBlocks(
  checkout: string,
  {
    parts,
    scratch,
    rounds,
    seconds,
  }: {
    readonly parts: ReadonlySet<string>;
    readonly scratch: string;
    readonly rounds: number;
    readonly seconds: number;
  },
): Promise<void> {
  const programs = await buildPrograms(checkout);
  if (parts.has('lookups')) await measureLookups(programs);
  const content = join(scratch, 'content');
  await makeContent(content);
  if (parts.has('codecs')) {
    print('### Codecs');
    print();
    print(
      'ZFiles read in order by requests of 1 MiB, by the processor time of one thread, and in brackets ' +
        'the ratio to the bare codec on the same blocks in memory. lz4 is read from mapped files, zstd ' +
        'by pread. Written by the clock, into the page cache.',
    );
    print();
    print(await output(programs.codecs, [scratch, content]));
  }
  const stacks = new Map<number, string>();
  if (
    parts.has('stacks') ||
    parts.has('commits') ||
    parts.has('devices') ||
    parts.has('survival')
  ) {
    for (const layerCount of layerCounts) {
      const folder = join(scratch, `stack-${layerCount}`);
      await makeStacks(programs, { folder, layerCount, content });
      stacks.set(layerCount, folder);
    }
  }
  const single = stacks.get(1) ?? '';
  if (parts.has('stacks')) await measureReadPath(programs, { stacks, rounds });
  if (parts.has('commits')) {
    const layer = join(single, 'raw', '0');
    await measureCommits(programs, { folder: scratch, content, layer, rounds });
  }
  if (parts.has('apply')) await measureApply(programs, { scratch, rounds });
  if (parts.has('survival')) await measureSurvival(programs, { stack: single, scratch });
  if (!parts.has('devices')) return;
  const settings = { rounds, seconds };
  await measureDevices(programs, { folder: single, content, where: 'on the disk', ...settings });
  const memory = await mkdtemp('/dev/shm/varve-bench-');
  try {
    await mkdir(join(memory, 'stack'));
    await cp(single, join(memory, 'stack'), { recursive: true });
    await cp(content, join(memory, 'content'));
    await measureDevices(programs, {
      folder: join(memory, 'stack'),
      content: join(memory, 'content'),
      where: 'in memory (tmpfs)',
      ...settings,
    });
  } finally {
    await rm(memory, { recursive: true, force: true });
  }
  await measureMemory(programs, { stacks, folder: scratch });
}
