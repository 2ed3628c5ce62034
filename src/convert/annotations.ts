// The annotations that tell overlaybd layers from others, as overlaybd's own converter writes them.
import type { Digest } from './descriptor.ts';
import type { JsonObject } from './json-document.ts';

const prefix = 'containerd.io/snapshot/overlaybd/';
const blobDigest = `${prefix}blob-digest`;

/** What a layer's annotations hold if it is made for overlaybd already. */
const overlaybdNames = [
  blobDigest,
  `${prefix}turbo-oci/target-digest`,
  `${prefix}fastoci/target-digest`,
];

/** The version of the layout of layers, which readers of it look at. */
const layoutVersion = '0.1.0';

export const isOverlaybd = (annotations: JsonObject): boolean =>
  overlaybdNames.some((name) => annotations[name] !== undefined);

/** The annotations of a converted layer. */
export function overlaybdAnnotations(blob: {
  readonly digest: Digest;
  readonly sizeBytes: number;
}): Readonly<Record<string, string>> {
  return {
    [blobDigest]: blob.digest,
    [`${prefix}blob-size`]: String(blob.sizeBytes),
    [`${prefix}blob-fs-type`]: 'ext4',
    [`${prefix}version`]: layoutVersion,
  };
}

/** An attestation speaks of the bytes of another manifest, which are not kept. */
export const isAttestation = (annotations: JsonObject): boolean =>
  annotations['vnd.docker.reference.type'] === 'attestation-manifest';

/** Under this name containerd and Docker import an image; and what it is called within a layout. */
export const imageNameAnnotation = 'io.containerd.image.name';
export const referenceNameAnnotation = 'org.opencontainers.image.ref.name';

/** The names by which an importer knows the image, as a document's annotations give them. */
export function nameOf(annotations: JsonObject): string | undefined {
  const name = annotations[imageNameAnnotation] ?? annotations[referenceNameAnnotation];
  return typeof name === 'string' ? name : undefined;
}
