// An ordinary image as one of overlaybd layers: each layer applied to the ext4 of those below it,
// and committed as a tar archive that holds one file.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findNativeFile } from '../../../src/adapters/native/location.ts';
import { runCommand } from './command.ts';
import { buildImageOf, type Image, type TarLayer } from './image.ts';
import { writeTar } from './tar.ts';

const size = '128M';

export async function buildBlockImage(image: Image, directory: string): Promise<Image> {
  const tool = (...argv: string[]): Promise<string> =>
    runCommand([findNativeFile('varve-layer'), ...argv]);
  const lowers: { file: string }[] = [];
  const layers: TarLayer[] = [];
  for (const [index, { entries }] of image.layers.entries()) {
    const folder = join(directory, `layer-${index}`);
    mkdirSync(folder, { recursive: true });
    const at = (name: string): string => join(folder, name);
    await tool('create', ...(index === 0 ? ['--mkfs'] : []), at('data'), at('index'), size);
    const upper = { data: at('data'), index: at('index') };
    const config = { repoBlobUrl: '', lowers, upper, resultFile: at('result') };
    writeFileSync(at('config.v1.json'), JSON.stringify(config));
    writeFileSync(at('layer.tar'), writeTar(entries));
    await tool('apply', at('layer.tar'), at('config.v1.json'));
    await tool('commit', '-z', '-t', at('data'), at('index'), at('overlaybd.commit'));
    lowers.push({ file: at('overlaybd.commit') });
    const tar = readFileSync(at('overlaybd.commit'));
    layers.push({ tar, entries, isCompressed: false });
  }
  return buildImageOf(`${image.name}-obd`, directory, layers);
}
