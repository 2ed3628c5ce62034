// Images for the bench: the same files as ordinary layers and as overlaybd layers, unpacked through
// the service as a client does it.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { BenchMount, SnapshotsClient } from './client.ts';

const run = promisify(execFile);

/** Files of one layer: `fileCount` of `fileBytes` each. */
export interface LayerContent {
  readonly fileCount: number;
  readonly fileBytes: number;
}

/** Makes a tar of random files below `folder`; answers its path. */
export async function makeTar(
  folder: string,
  name: string,
  { fileCount, fileBytes }: LayerContent,
): Promise<string> {
  const files = join(folder, `${name}-files`, name);
  await mkdir(files, { recursive: true });
  for (let index = 0; index < fileCount; index += 1) {
    await writeFile(join(files, `file-${index}`), randomBytes(fileBytes));
  }
  const tar = join(folder, `${name}.tar`);
  await run('tar', ['-cf', tar, '-C', join(folder, `${name}-files`), name]);
  return tar;
}

/** Makes overlaybd layers of tars, the lowest first; answers the paths of their files. */
export async function makeBlockLayers(
  layerTool: string,
  folder: string,
  tars: readonly string[],
): Promise<readonly string[]> {
  const made: string[] = [];
  for (const [index, tar] of tars.entries()) {
    const directory = join(folder, `block-${index}`);
    await mkdir(directory, { recursive: true });
    const at = (name: string): string => join(directory, name);
    await run(layerTool, [
      'create',
      ...(index === 0 ? ['--mkfs'] : []),
      at('data'),
      at('index'),
      '4',
    ]);
    const config = {
      ...{ repoBlobUrl: '', lowers: made.map((file) => ({ file })), resultFile: '' },
      upper: { data: at('data'), index: at('index') },
    };
    await writeFile(at('config.v1.json'), JSON.stringify(config));
    await run(layerTool, ['apply', tar, at('config.v1.json')]);
    await run(layerTool, ['commit', '-z', at('data'), at('index'), at('overlaybd.commit')]);
    made.push(at('overlaybd.commit'));
  }
  return made;
}

/** The directory into which a client unpacks. */
function target([mount]: readonly BenchMount[]): string {
  const upper = mount?.options.find((option) => option.startsWith('upperdir='));
  return upper?.slice('upperdir='.length) ?? mount?.source ?? '';
}

/** Unpacks one layer after another; each `fill` puts its files. Answers the name of the topmost. */
export async function unpack(
  client: SnapshotsClient,
  image: string,
  fills: readonly ((directory: string) => Promise<void>)[],
): Promise<string> {
  let parent = '';
  for (const [index, fill] of fills.entries()) {
    const key = `extract-${image}-${index} sha256:${'0'.repeat(64)}`;
    await fill(target(await client.prepare(key, parent)));
    const name = `${image}-layer-${index}`;
    await client.commit(key, name);
    parent = name;
  }
  return parent;
}

/** Puts an overlaybd layer, as its archive has it. */
export const blockLayer =
  (file: string) =>
  async (directory: string): Promise<void> =>
    copyFile(file, join(directory, 'overlaybd.commit'));

/** Puts the files of a tar. */
export const ordinaryLayer =
  (tar: string) =>
  async (directory: string): Promise<void> => {
    await run('tar', ['-xf', tar, '-C', directory]);
  };
