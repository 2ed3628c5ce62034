// The images of a layout as a tree: indexes, and below them the images that are to be converted.
// What is in a layout beside images is left out, and named with the reason.
import { isAttestation, nameOf } from './annotations.ts';
import type { Descriptor } from './descriptor.ts';
import {
  checkImage,
  readConfig,
  readIndex,
  readManifest,
  type ImageConfig,
  type Index,
  type Manifest,
} from './documents.ts';
import { documentKind, isImageConfig } from './media-types.ts';
import { isMatch, platformOf, platformText, type Platform } from './platform.ts';
import { refuse } from './refusal.ts';
import { isObject, parseDocument, textAt } from './json-document.ts';
import type { ImageSource } from './source.ts';
import { printable } from '../history/text.ts';

export interface IndexNode {
  readonly kind: 'index';
  /** Undefined for index.json itself. */
  readonly descriptor: Descriptor | undefined;
  readonly index: Index;
  readonly children: readonly (IndexNode | ImageNode)[];
}

export interface ImageNode {
  readonly kind: 'image';
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  /** Name and platform, for messages. */
  readonly title: string;
}

/** Something that is not converted, and why not. */
export interface LeftOut {
  readonly what: string;
  readonly reason: string;
}

export interface ImageTree {
  readonly root: IndexNode;
  /** Each image once, in the order in which they come. */
  readonly images: readonly ImageNode[];
  readonly leftOut: readonly LeftOut[];
}

/** Indexes in indexes: what builders write has two levels. */
const depthMax = 4;
const imageCountMax = 1000;
/** All of them are kept until the end. */
const documentBytesMax = 64 << 20;

/** Reads the tree; without `platforms` all of it. Refuses what cannot be converted. */
export async function readImageTree(
  source: ImageSource,
  platforms: readonly Platform[],
): Promise<ImageTree> {
  const reader = new TreeReader(source, platforms);
  return reader.read();
}

class TreeReader {
  readonly #source: ImageSource;
  readonly #platforms: readonly Platform[];
  readonly #images = new Map<string, ImageNode>();
  readonly #found = new Set<string>();
  readonly #leftOut: LeftOut[] = [];
  #documentCount = 0;
  #documentBytes = 0;

  constructor(source: ImageSource, platforms: readonly Platform[]) {
    this.#source = source;
    this.#platforms = platforms;
  }

  async read(): Promise<ImageTree> {
    await this.#checkLayout();
    const bytes = await this.#source.topFile('index.json');
    if (bytes === undefined) return refuse('it has no index.json: it is no OCI image layout');
    const index = readIndex(bytes, 'index.json');
    const children = await this.#children(index, '', 1);
    this.#refuseUnmatched();
    const images = [...this.#images.values()];
    if (images.length === 0) this.#refuseNothing();
    const root = { kind: 'index', descriptor: undefined, index, children } as const;
    return { root, images, leftOut: this.#leftOut };
  }

  async #checkLayout(): Promise<void> {
    const bytes = await this.#source.topFile('oci-layout');
    if (bytes !== undefined) {
      const text = textAt(parseDocument(bytes, 'oci-layout'), 'imageLayoutVersion', 'oci-layout');
      if (!text.startsWith('1.')) refuse(`oci-layout: version ${printable(text)} is not known`);
      return;
    }
    const isDocker = (await this.#source.topFile('manifest.json')) !== undefined;
    refuse(
      isDocker
        ? 'it is an archive as Docker before version 25 wrote it: save the image with a newer one'
        : 'it has no oci-layout: it is no OCI image layout',
    );
  }

  async #children(
    index: Index,
    name: string,
    depth: number,
  ): Promise<readonly (IndexNode | ImageNode)[]> {
    if (depth > depthMax) refuse(`indexes lie in indexes more than ${depthMax} levels deep`);
    const children: (IndexNode | ImageNode)[] = [];
    for (const descriptor of index.manifests) {
      this.#documentCount += 1;
      if (this.#documentCount > imageCountMax) refuse(`it names more than ${imageCountMax} images`);
      const ownName = nameOf(descriptor.annotations) ?? name;
      const child = await this.#child(descriptor, ownName, depth);
      if (typeof child === 'object') children.push(child);
      if (typeof child !== 'string') continue;
      this.#leftOut.push({ what: titleOf(ownName, descriptor), reason: child });
    }
    return children;
  }

  /** A reason if it is left out, nothing if it is not wanted. */
  async #child(
    descriptor: Descriptor,
    name: string,
    depth: number,
  ): Promise<IndexNode | ImageNode | string | undefined> {
    const { digest, mediaType, annotations } = descriptor;
    if (isAttestation(annotations)) return 'an attestation, which speaks of other bytes';
    const kind = documentKind(mediaType);
    if (kind === 'other') return `${printable(mediaType)} is not an image`;
    if (this.#isUnwanted(descriptor)) return undefined;
    const bytes = await this.#document(descriptor, digest);
    // Who saves one platform of an image names the others all the same.
    if (bytes === undefined) return 'its manifest was not saved with it';
    if (kind === 'manifest') return this.#image(descriptor, bytes, name);
    const index = readIndex(bytes, `index ${digest}`, mediaType);
    const children = await this.#children(index, name, depth + 1);
    // Nothing in it is wanted, or can be converted.
    return children.length === 0 ? undefined : { kind: 'index', descriptor, index, children };
  }

  async #image(
    descriptor: Descriptor,
    bytes: Buffer,
    name: string,
  ): Promise<ImageNode | string | undefined> {
    const { digest, mediaType } = descriptor;
    const known = this.#images.get(digest);
    if (known !== undefined) return { ...known, descriptor };
    const manifest = readManifest(bytes, `manifest ${digest}`, mediaType);
    const place = `configuration ${manifest.config.digest}`;
    if (!isImageConfig(manifest.config.mediaType)) {
      return `an artifact (${printable(manifest.config.mediaType)}), not an image`;
    }
    const configBytes = await this.#document(manifest.config, place);
    if (configBytes === undefined)
      return refuse(`${titleOf(name, descriptor)}: its ${place} is missing`);
    const config = readConfig(configBytes, place);
    const title = [name, platformText(config.platform)].filter((part) => part !== '').join(' ');
    if (!this.#isWanted(config.platform)) return undefined;
    checkImage(manifest, config, printable(title));
    await this.#checkLayers(manifest, printable(title));
    const node: ImageNode = {
      kind: 'image',
      descriptor,
      manifest,
      config,
      title: printable(title),
    };
    this.#images.set(digest, node);
    return node;
  }

  async #document(descriptor: Descriptor, place: string): Promise<Buffer | undefined> {
    this.#documentBytes += descriptor.sizeBytes;
    if (this.#documentBytes > documentBytesMax) {
      refuse(`its manifests and configurations have more than ${documentBytesMax} bytes together`);
    }
    return this.#source.document(descriptor, place);
  }

  async #checkLayers({ layers }: Manifest, title: string): Promise<void> {
    for (const [at, layer] of layers.entries()) {
      if ((await this.#source.findBlob(layer)) !== undefined) continue;
      refuse(
        `${title}: layer ${at + 1} (${layer.digest}) is missing: ` +
          'save the image again, with all of its layers',
      );
    }
  }

  /** An index may say for which platform a manifest is; then it need not be read. */
  #isUnwanted({ document }: Descriptor): boolean {
    const { platform } = document;
    return isObject(platform) && !this.#isWanted(platformOf(platform, 'platform'));
  }

  #isWanted(platform: Platform): boolean {
    this.#found.add(platformText(platform));
    return this.#platforms.length === 0 || this.#platforms.some((one) => isMatch(one, platform));
  }

  #refuseUnmatched(): void {
    const images = [...this.#images.values()];
    const missing = this.#platforms.filter(
      (one) => !images.some(({ config }) => isMatch(one, config.platform)),
    );
    const [first] = missing;
    if (first === undefined) return;
    const found = this.#found.size === 0 ? 'none' : [...this.#found].join(', ');
    refuse(`it holds no image for ${platformText(first)}; there are: ${found}`);
  }

  #refuseNothing(): never {
    const reasons = this.#leftOut.map(({ what, reason }) => `${what}: ${reason}`);
    refuse(['it holds no image that can be converted', ...reasons].join('\n'));
  }
}

function titleOf(name: string, { digest, document }: Descriptor): string {
  const { platform } = document;
  const words = isObject(platform) ? platformText(platformOf(platform, 'platform')) : '';
  const title = [name, words].filter((part) => part !== '').join(' ');
  return printable(title === '' ? digest : title);
}
