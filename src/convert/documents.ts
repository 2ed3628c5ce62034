// The three documents of an image: index, manifest and configuration, read and checked.
import { isOverlaybd } from './annotations.ts';
import { descriptorOf, digestOf, type Descriptor, type Digest } from './descriptor.ts';
import {
  listAt,
  objectAt,
  optionalTextAt,
  parseDocument,
  refuseLookalikes,
  textAt,
  type JsonObject,
} from './json-document.ts';
import { layerObstacle } from './media-types.ts';
import { platformOf, type Platform } from './platform.ts';
import { refuse } from './refusal.ts';
import { printable } from '../history/text.ts';

/** What a device takes, see docs/images.md; Docker and containerd take fewer. */
const layerCountMax = 255;
/** An index has one manifest for each platform, and a layout one for each image. */
const manifestCountMax = 1000;

const descriptorNames = ['mediaType', 'digest', 'size', 'annotations', 'platform'];

export interface Index {
  readonly document: JsonObject;
  readonly manifests: readonly Descriptor[];
}

export interface Manifest {
  readonly document: JsonObject;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface ImageConfig {
  readonly document: JsonObject;
  readonly platform: Platform;
  /** Digests of the layers' archives as they are when they are not compressed, lowest first. */
  readonly diffIds: readonly Digest[];
}

export function readIndex(bytes: Uint8Array, place: string, mediaType?: string): Index {
  const document = parseDocument(bytes, place);
  refuseLookalikes(document, ['schemaVersion', 'mediaType', 'manifests', 'annotations'], place);
  checkKind(document, { place, mediaType, foreign: ['config', 'layers', 'fsLayers'] });
  const list = listAt(document, 'manifests', { place, countMax: manifestCountMax });
  return { document, manifests: list.map((value, at) => element(value, 'manifests', at, place)) };
}

export function readManifest(bytes: Uint8Array, place: string, mediaType: string): Manifest {
  const document = parseDocument(bytes, place);
  const names = ['schemaVersion', 'mediaType', 'config', 'layers', 'annotations', 'subject'];
  refuseLookalikes(document, names, place);
  checkKind(document, { place, mediaType, foreign: ['manifests', 'fsLayers'] });
  const list = listAt(document, 'layers', { place, countMax: layerCountMax });
  return {
    document,
    config: descriptorOf(document['config'], `${place}: config`),
    layers: list.map((value, at) => element(value, 'layers', at, place)),
  };
}

function element(value: unknown, list: string, at: number, place: string): Descriptor {
  const own = `${place}: ${list}[${at}]`;
  const descriptor = descriptorOf(value, own);
  refuseLookalikes(descriptor.document, descriptorNames, own);
  return descriptor;
}

// One document that is index and manifest at once is read as the one here and the other elsewhere.
function checkKind(
  document: JsonObject,
  expected: {
    readonly place: string;
    readonly mediaType: string | undefined;
    readonly foreign: readonly string[];
  },
): void {
  const { place, mediaType, foreign } = expected;
  if (document['schemaVersion'] !== 2) refuse(`${place}: "schemaVersion" is not 2`);
  const own = optionalTextAt(document, 'mediaType', place);
  if (own !== undefined && mediaType !== undefined && own !== mediaType) {
    refuse(
      `${place} says that it is ${printable(own)}, and what names it, ${printable(mediaType)}`,
    );
  }
  const both = Object.keys(document).find((key) =>
    foreign.some((name) => name.toLowerCase() === key.toLowerCase()),
  );
  if (both !== undefined)
    refuse(`${place} has a field "${printable(both)}", which does not belong there`);
}

export function readConfig(bytes: Uint8Array, place: string): ImageConfig {
  const document = parseDocument(bytes, place);
  refuseLookalikes(document, ['rootfs', 'os', 'architecture', 'variant'], place);
  const rootfs = objectAt(document, 'rootfs', place);
  refuseLookalikes(rootfs, ['type', 'diff_ids'], `${place}: rootfs`);
  if (textAt(rootfs, 'type', place) !== 'layers') refuse(`${place}: "rootfs.type" is not "layers"`);
  const list = listAt(rootfs, 'diff_ids', { place, countMax: layerCountMax });
  const diffIds = list.map((value, at) =>
    digestOf(typeof value === 'string' ? value : '', `${place}: rootfs.diff_ids[${at}]`),
  );
  return { document, platform: platformOf(document, place), diffIds };
}

/** Refuses an image that cannot be converted, before any of its layers is read. */
export function checkImage(manifest: Manifest, config: ImageConfig, place: string): void {
  const { layers } = manifest;
  const { diffIds, platform } = config;
  if (layers.some(({ annotations }) => isOverlaybd(annotations))) {
    refuse(`${place} is an overlaybd image already: import it as it is`);
  }
  if (platform.os !== 'linux') {
    refuse(
      `${place} is for ${printable(platform.os)}: only images for linux can be converted; ` +
        '--platform chooses among several',
    );
  }
  if (layers.length === 0) refuse(`${place} has no layers: there is nothing to convert`);
  if (layers.length !== diffIds.length) {
    refuse(
      `${place}: the manifest names ${layers.length} layers, the configuration ${diffIds.length}`,
    );
  }
  for (const [at, { mediaType }] of layers.entries()) {
    const obstacle = layerObstacle(mediaType);
    if (obstacle === undefined) continue;
    refuse(`${place}: layer ${at + 1} (${printable(mediaType)}) cannot be converted: ${obstacle}`);
  }
}
