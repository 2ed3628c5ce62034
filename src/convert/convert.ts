// Converts an ordinary image into one of overlaybd layers: reads its documents, makes its layers,
// writes its documents anew, and puts all of it under the name of the output at the end.
import { availableParallelism } from 'node:os';
import { printable } from '../history/text.ts';
import { BlobStore, type Blob } from './blob-store.ts';
import {
  convertedConfig,
  convertedIndex,
  convertedManifest,
  named,
  refuseSeveral,
} from './converted-documents.ts';
import { descriptorDocument } from './descriptor.ts';
import { readImageTree, type ImageNode, type IndexNode, type LeftOut } from './image-tree.ts';
import type { JsonObject } from './json-document.ts';
import { LayerTool } from './layer-tool.ts';
import { LayerConverter, stepsOf, type ConvertedLayer, type LayerOptions } from './layers.ts';
import { outputOf, putOutput, refuseExisting } from './output.ts';
import { Places } from './places.ts';
import type { Platform } from './platform.ts';
import type { StageListener } from './progress.ts';
import { ConversionRefused } from './refusal.ts';
import { openSource, type ImageSource } from './source.ts';
import { WorkFolder } from './work-folder.ts';

export interface ConversionOptions extends LayerOptions {
  readonly input: string;
  readonly output: string;
  /** Without any, all platforms. */
  readonly platforms: readonly Platform[];
  /** A name for the image instead of the one that it has. */
  readonly name: string | undefined;
  /** Where varve-layer is. */
  readonly layerProgram: string;
  readonly progress: StageListener;
  /** Registers what deletes everything at once; called when the process has to end. */
  readonly onInterrupt: (cleanup: () => void) => () => void;
}

export interface ConvertedImage {
  readonly title: string;
  readonly digest: string;
  readonly layers: readonly ConvertedLayer[];
}

export interface Conversion {
  readonly output: string;
  readonly images: readonly ConvertedImage[];
  readonly leftOut: readonly LeftOut[];
}

/** Layers are made by processes of one or two threads each; more would only fill memory. */
const placeCountMax = 4;

/** Converts; leaves nothing when it fails. Throws ConversionRefused where a message says it all. */
export async function convert(options: ConversionOptions): Promise<Conversion> {
  const output = outputOf(options.output);
  refuseExisting(output);
  const source = await openSource(options.input);
  try {
    const tree = await readImageTree(source, options.platforms);
    if (options.name !== undefined) refuseSeveral(tree.root);
    const work = new WorkFolder(output.path);
    const tool = new LayerTool(options.layerProgram);
    const clean = (): void => {
      tool.end();
      work.remove();
    };
    const forget = options.onInterrupt(clean);
    try {
      const layoutFolder = await work.folder('layout');
      const store = await BlobStore.in(layoutFolder);
      const images = await convertImages(tree.images, { options, source, store, work, tool });
      const indexes = new IndexWriter(images, store);
      const index = await indexes.topIndex(tree.root, options.name);
      const layout = Buffer.from(JSON.stringify({ imageLayoutVersion: '1.0.0' }));
      const files = { 'oci-layout': layout, 'index.json': index };
      const progress = (doneBytes: number, totalBytes: number): void =>
        options.progress('writing', doneBytes, totalBytes);
      await putOutput(output, { store, files, layoutFolder, progress });
      const results = [...images.values()].map(({ result }) => result);
      return { output: output.path, images: results, leftOut: tree.leftOut };
    } finally {
      clean();
      forget();
    }
  } catch (error) {
    throw explained(error, output.path);
  } finally {
    await source.close();
  }
}

interface Workplace {
  readonly options: ConversionOptions;
  readonly source: ImageSource;
  readonly store: BlobStore;
  readonly work: WorkFolder;
  readonly tool: LayerTool;
}

interface Result {
  readonly manifest: Blob;
  readonly result: ConvertedImage;
}

async function convertImages(
  images: readonly ImageNode[],
  { options, source, store, work, tool }: Workplace,
): Promise<ReadonlyMap<string, Result>> {
  const steps = new Map(images.flatMap(stepsOf).map((step) => [step.chainId, step]));
  const sizes = [...steps.values()].map(({ descriptor }) => descriptor.sizeBytes);
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
  let doneBytes = 0;
  const advance = (moreBytes: number): void => {
    doneBytes += moreBytes;
    options.progress('converting', doneBytes, totalBytes);
  };
  const places = new Places(Math.min(placeCountMax, availableParallelism()));
  const layers = new LayerConverter({ source, store, work, tool, places, options, advance });
  const running = images.map(async (image): Promise<readonly [string, Result]> => {
    const converted = await layers.convert(image);
    return [image.descriptor.digest, await writeImage(image, converted, store)];
  });
  try {
    return new Map(await Promise.all(running));
  } catch (error) {
    // The first failure ends the others; their processes are gone before anything is deleted.
    tool.end();
    await Promise.allSettled(running);
    throw error;
  }
}

async function writeImage(
  { manifest, config, descriptor, title }: ImageNode,
  layers: readonly ConvertedLayer[],
  store: BlobStore,
): Promise<Result> {
  const configBlob = await store.addBytes(convertedConfig(config, layers));
  const blobs = { config: configBlob, layers };
  const bytes = convertedManifest(manifest, descriptor.mediaType, blobs);
  const blob = await store.addBytes(bytes);
  return { manifest: blob, result: { title, digest: blob.digest, layers } };
}

/** Writes indexes from the images upward, each naming what those below it became. */
class IndexWriter {
  readonly #images: ReadonlyMap<string, Result>;
  readonly #store: BlobStore;

  constructor(images: ReadonlyMap<string, Result>, store: BlobStore) {
    this.#images = images;
    this.#store = store;
  }

  async topIndex({ index, children }: IndexNode, name: string | undefined): Promise<Buffer> {
    const descriptors = await this.#descriptors(children);
    return convertedIndex(
      index,
      name === undefined ? descriptors : descriptors.map((one) => named(one, name)),
    );
  }

  async #descriptors(nodes: readonly (IndexNode | ImageNode)[]): Promise<readonly JsonObject[]> {
    const descriptors: JsonObject[] = [];
    for (const node of nodes) {
      if (node.descriptor === undefined) continue;
      const blob = await this.#blob(node);
      descriptors.push(descriptorDocument(node.descriptor, blob));
    }
    return descriptors;
  }

  async #blob(node: IndexNode | ImageNode): Promise<Blob> {
    if (node.kind === 'image') {
      const converted = this.#images.get(node.descriptor.digest);
      if (converted === undefined) throw new Error(`${node.title} was not converted`);
      return converted.manifest;
    }
    return this.#store.addBytes(convertedIndex(node.index, await this.#descriptors(node.children)));
  }
}

/** What the system refused, with what can be done about it. */
function explained(error: unknown, outputPath: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  // varve-layer says it in the system's words.
  const isFull = code === 'ENOSPC' || code === 'EDQUOT' || /no space left/i.test(message);
  if (!isFull) return error;
  const next = `make room on the disk of ${printable(outputPath)}, or write elsewhere`;
  return new ConversionRefused(`${message}: ${next}`);
}
