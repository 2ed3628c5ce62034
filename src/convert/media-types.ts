// The media types of images: what each names, and which layers cannot be converted.

const oci = 'application/vnd.oci.image.';
const docker = 'application/vnd.docker.';

const indexTypes = new Set([`${oci}index.v1+json`, `${docker}distribution.manifest.list.v2+json`]);
const manifestTypes = new Set([`${oci}manifest.v1+json`, `${docker}distribution.manifest.v2+json`]);
const configTypes = new Set([`${oci}config.v1+json`, `${docker}container.image.v1+json`]);
const layerTypes = new Set([
  ...['', '+gzip', '+zstd'].map((suffix) => `${oci}layer.v1.tar${suffix}`),
  ...['', '.gzip', '.zstd'].map((suffix) => `${docker}image.rootfs.diff.tar${suffix}`),
]);

/** The documents that a tree of images is made of. */
export function documentKind(mediaType: string): 'index' | 'manifest' | 'other' {
  if (indexTypes.has(mediaType)) return 'index';
  return manifestTypes.has(mediaType) ? 'manifest' : 'other';
}

/** Whether a manifest with such a configuration is an image, and not an artifact. */
export const isImageConfig = (mediaType: string): boolean => configTypes.has(mediaType);

/** Why a layer of this media type cannot be converted; undefined if it can. */
export function layerObstacle(mediaType: string): string | undefined {
  if (layerTypes.has(mediaType)) return undefined;
  if (mediaType.includes('encrypted')) {
    return 'it is encrypted: decrypt the image first';
  }
  if (/\.(nondistributable|foreign)\./.test(mediaType)) {
    return 'it is a foreign layer, which lies elsewhere than in the image';
  }
  return 'such layers are not known here';
}

/** Layers of an overlaybd image are archives that are not compressed: what is in them is. */
export function convertedLayerType(manifestMediaType: string): string {
  return manifestMediaType.startsWith(docker)
    ? `${docker}image.rootfs.diff.tar`
    : `${oci}layer.v1.tar`;
}
