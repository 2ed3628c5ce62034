// Makes overlaybd layers of ordinary ones. A layer is a difference of blocks to those below it, so
// the layers of one chain are made in order; what chains have in common is made once.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blob, BlobStore } from './blob-store.ts';
import { digestOfBytes, hexOf, type Descriptor, type Digest } from './descriptor.ts';
import type { ImageNode } from './image-tree.ts';
import type { LayerTool, RunOptions } from './layer-tool.ts';
import type { Places } from './places.ts';
import { LayerProgress, type StepListener } from './progress.ts';
import { refuse } from './refusal.ts';
import { beginsAsOverlaybd } from './overlaybd-begin.ts';
import { checkedBlob, type ImageSource } from './source.ts';
import type { WorkFolder } from './work-folder.ts';

export interface LayerOptions {
  readonly compression: 'lz4' | 'zstd';
  /** Size of the device, as varve-layer takes it. */
  readonly virtualSize: string;
}

export interface ConvertedLayer extends Blob {
  readonly sourceDigest: Digest;
  readonly sourceBytes: number;
}

/** What the layers are made with. */
export interface LayerWorkshop {
  readonly source: ImageSource;
  readonly store: BlobStore;
  readonly work: WorkFolder;
  readonly tool: LayerTool;
  readonly places: Places;
  readonly options: LayerOptions;
  /** So many bytes more of layers are done. */
  readonly advance: (moreBytes: number) => void;
}

/** One layer upon those below it. */
export interface LayerStep {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** Names the layer and all below it. */
  readonly chainId: Digest;
  readonly place: string;
}

/** The layers of an image, lowest first. */
export function stepsOf({ manifest, config, title }: ImageNode): readonly LayerStep[] {
  let below: Digest | undefined;
  return manifest.layers.map((descriptor, at) => {
    // As many as there are layers: checkImage has seen to it.
    const diffId = config.diffIds[at] ?? '';
    const chainId = below === undefined ? diffId : digestOfBytes(`${below} ${diffId}`);
    below = chainId;
    const place = `${title}: layer ${at + 1} of ${manifest.layers.length} (${descriptor.digest})`;
    return { descriptor, diffId, chainId, place };
  });
}

export class LayerConverter {
  readonly #workshop: LayerWorkshop;
  readonly #made = new Map<Digest, Promise<ConvertedLayer>>();

  constructor(workshop: LayerWorkshop) {
    this.#workshop = workshop;
  }

  /** Converts the layers of one image. */
  async convert(image: ImageNode): Promise<readonly ConvertedLayer[]> {
    const layers: ConvertedLayer[] = [];
    let below: LayerStep | undefined;
    for (const step of stepsOf(image)) {
      let making = this.#made.get(step.chainId);
      if (making === undefined) {
        const lowers = [...layers];
        const lower = below;
        making = this.#workshop.places.with(() => this.#make(step, lower, lowers));
        this.#made.set(step.chainId, making);
      }
      layers.push(await making);
      below = step;
    }
    return layers;
  }

  async #make(
    step: LayerStep,
    below: LayerStep | undefined,
    lowers: readonly Blob[],
  ): Promise<ConvertedLayer> {
    const { work, store, options, advance } = this.#workshop;
    const { descriptor, chainId, diffId } = step;
    const folder = await work.folder(hexOf(chainId));
    const at = (name: string): string => join(folder, name);
    const upper = { data: at('data'), index: at('index') };
    const config = {
      repoBlobUrl: '',
      lowers: lowers.map(({ digest }) => ({ file: store.pathOf(digest) })),
      upper,
      resultFile: at('result'),
    };
    await writeFile(at('config.v1.json'), JSON.stringify(config));
    const base = below === undefined ? ['--mkfs'] : [];
    const size = below === undefined ? options.virtualSize : '0';
    await this.#run(step, ['create', ...base, upper.data, upper.index, size]);
    const checksum = ['--checksum', diffId];
    const progress = new LayerProgress(descriptor.sizeBytes, advance);
    const input = this.#content(descriptor, progress.of('apply'));
    await this.#run(step, ['apply', ...checksum, '-', at('config.v1.json')], { input });
    const commit = ['commit', '-z', '-t', '--algorithm', options.compression];
    const uuids = [...uuidOption('--uuid', step), ...uuidOption('--parent-uuid', below)];
    const output = at('overlaybd.commit');
    const argv = [...commit, ...uuids, upper.data, upper.index, output];
    await this.#run(step, argv, { progress: progress.of('commit') });
    const blob = await store.takeFile(output, progress.of('digest'));
    await work.removeFolder(folder);
    const source = { sourceDigest: descriptor.digest, sourceBytes: descriptor.sizeBytes };
    return { ...blob, ...source };
  }

  async #run({ place }: LayerStep, argv: readonly string[], ends: RunOptions = {}): Promise<void> {
    await this.#workshop.tool.run(argv, ends).catch((error: unknown) => {
      if (error instanceof Error) error.message = `${place}: ${error.message}`;
      throw error;
    });
  }

  async *#content(descriptor: Descriptor, progress: StepListener): AsyncIterable<Buffer> {
    const stored = await this.#workshop.source.findBlob(descriptor);
    if (stored === undefined) return refuse('it has gone');
    let isFirst = true;
    let readBytes = 0;
    for await (const chunk of checkedBlob(stored, descriptor.digest)) {
      if (isFirst && beginsAsOverlaybd(chunk)) {
        refuse('it is an overlaybd layer already: import the image as it is');
      }
      isFirst = false;
      readBytes += chunk.length;
      progress(readBytes, descriptor.sizeBytes);
      yield chunk;
    }
  }
}

/** As overlaybd's converter has it: the same chain has the same UUIDs, wherever it is converted. */
function uuidOption(name: string, step: LayerStep | undefined): readonly string[] {
  if (step === undefined) return [];
  const hex = hexOf(step.chainId);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return [name, [...parts, hex.slice(20, 32)].join('-')];
}
