// An ordinary image as one of overlaybd layers, by `varve convert`.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './command.ts';
import { blobPath, chainIdOf, type Descriptor, type Image } from './image.ts';

const varve = fileURLToPath(new URL('../../../bin/varve', import.meta.url));
/** Size of the devices. */
export const virtualSize = '128M';

interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** Converts the image, as an archive and as a folder, under a name of its own. */
export async function buildBlockImage(image: Image, directory: string): Promise<Image> {
  mkdirSync(directory, { recursive: true });
  const name = `${image.name}-obd`;
  const reference = `localhost/${name}:latest`;
  const archivePath = join(directory, `${name}.tar`);
  const layoutDirectory = join(directory, name);
  const convert = [varve, 'convert', '--name', reference, '--vsize', virtualSize];
  await runCommand([...convert, image.archivePath, archivePath]);
  await runCommand([...convert, image.layoutDirectory, layoutDirectory]);
  const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
  const index = read(join(layoutDirectory, 'index.json')) as { manifests: Descriptor[] };
  const manifest = index.manifests[0]!;
  const { config, layers } = read(blobPath(layoutDirectory, manifest.digest)) as Manifest;
  let chainId = '';
  return {
    ...{ reference, name, archivePath, layoutDirectory, manifest, config },
    layers: layers.map((descriptor, at) => {
      // An overlaybd layer's archive is not compressed.
      const diffId = descriptor.digest;
      chainId = chainIdOf(chainId, diffId);
      return { descriptor, diffId, chainId, entries: image.layers[at]?.entries ?? [] };
    }),
  };
}
