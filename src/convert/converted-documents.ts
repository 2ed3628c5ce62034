// The documents of the converted image. What is not about its layers stays as it was.
import {
  imageNameAnnotation,
  overlaybdAnnotations,
  referenceNameAnnotation,
} from './annotations.ts';
import type { Blob } from './blob-store.ts';
import { descriptorDocument } from './descriptor.ts';
import type { Index, ImageConfig, Manifest } from './documents.ts';
import type { IndexNode } from './image-tree.ts';
import { documentBytes, isObject, type JsonObject } from './json-document.ts';
import { convertedLayerType } from './media-types.ts';
import { refuse } from './refusal.ts';

/** The configuration with the digests of the new layers, whose archives are not compressed. */
export function convertedConfig({ document }: ImageConfig, layers: readonly Blob[]): Buffer {
  const rootfs = isObject(document['rootfs']) ? document['rootfs'] : {};
  const diffIds = layers.map(({ digest }) => digest);
  return documentBytes({ ...document, rootfs: { ...rootfs, diff_ids: diffIds } });
}

export function convertedManifest(
  { document, config }: Manifest,
  mediaType: string,
  blobs: { readonly config: Blob; readonly layers: readonly Blob[] },
): Buffer {
  const layers = blobs.layers.map((layer) => ({
    mediaType: convertedLayerType(mediaType),
    digest: layer.digest,
    size: layer.sizeBytes,
    annotations: overlaybdAnnotations(layer),
  }));
  return documentBytes({ ...document, config: descriptorDocument(config, blobs.config), layers });
}

/** The index with what its images and indexes became. */
export function convertedIndex({ document }: Index, manifests: readonly JsonObject[]): Buffer {
  return documentBytes({ ...document, manifests });
}

/** The part of a name behind its last colon, as layouts give it; none is `latest`. */
const tagOf = (name: string): string => /:([^:/@]+)$/.exec(name)?.[1] ?? 'latest';

/** Refuses to give one name to several images. */
export function refuseSeveral({ children }: IndexNode): void {
  if (children.length === 1) return;
  refuse(`index.json names ${children.length} images: they cannot all have one name`);
}

/** The same under another name. */
export function named(descriptor: JsonObject, name: string): JsonObject {
  const annotations = isObject(descriptor['annotations']) ? descriptor['annotations'] : {};
  const names = { [imageNameAnnotation]: name, [referenceNameAnnotation]: tagOf(name) };
  return { ...descriptor, annotations: { ...annotations, ...names } };
}
