// Layers that are not downloaded: their labels say where the blob lies in a registry, and its
// device reads it from there.
import type { Labels, RemoteLayer } from './events.ts';
import { snapshotRefLabel } from './role.ts';

const prefix = 'containerd.io/snapshot/';

/** Digest and size of the blob, from the annotations of its image. */
export const blobDigestLabel = `${prefix}overlaybd/blob-digest`;
export const blobSizeLabel = `${prefix}overlaybd/blob-size`;

/** Reference of the image: that of the puller itself counts more than the one of Kubernetes. */
export const imageRefLabels = [`${prefix}image-ref`, `${prefix}cri.image-ref`] as const;

/** With the value `download` the layer is downloaded all the same. */
export const downloadLabel = `${prefix}overlaybd/download-remote-blob`;

/** Marks layers that were committed at Prepare. */
export const remoteLabel = `${prefix}remote`;

const digestForm = /^sha256:[0-9a-f]{64}$/;
const sizeForm = /^[1-9]\d{0,14}$/;
// `host[:port]/repository[:tag][@digest]`, as clients normalise references.
const hostForm = String.raw`(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])`;
const repositoryForm = '[a-z0-9]+(?:[._/-]+[a-z0-9]+)*';
const versionForm = String.raw`(?::[\w.-]{1,128})?(?:@sha256:[0-9a-f]{64})?`;
const referenceForm = new RegExp(
  String.raw`^(${hostForm}(?::\d{1,5})?)/(${repositoryForm})${versionForm}$`,
);

/**
 * Where the blob of a layer lies whose unpack has these labels; undefined if they do not say so, or
 * not in a form that can be used: such a layer is downloaded.
 */
export function remoteLayerOf(labels: Labels): RemoteLayer | undefined {
  const has = (label: string): string | undefined =>
    Object.hasOwn(labels, label) ? labels[label] : undefined;
  if (has(snapshotRefLabel) === undefined || has(downloadLabel) === 'download') return undefined;
  const digest = has(blobDigestLabel) ?? '';
  const size = has(blobSizeLabel) ?? '';
  const reference = imageRefLabels.map(has).find((one) => one !== undefined) ?? '';
  const [, host, repository] = referenceForm.exec(reference) ?? [];
  const isComplete = digestForm.test(digest) && sizeForm.test(size);
  if (!isComplete || host === undefined || repository === undefined) return undefined;
  const server = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const repoBlobUrl = `https://${server}/v2/${repository}/blobs`;
  return { repoBlobUrl, digest, sizeBytes: Number(size) };
}
