// Descriptors, by which documents of images name others: checked before anything is looked up.
import { createHash, type Hash } from 'node:crypto';
import { printable } from '../history/text.ts';
import {
  isObject,
  objectAt,
  optionalTextAt,
  sizeAt,
  textAt,
  type JsonObject,
} from './json-document.ts';
import { refuse } from './refusal.ts';

/** `sha256:` and 64 digits; nothing else becomes part of a path. */
export type Digest = string;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly annotations: JsonObject;
  /** All of it as it was read. */
  readonly document: JsonObject;
}

const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** The digest, if it is one that is supported. */
export function digestOf(text: string, place: string): Digest {
  if (digestPattern.test(text)) return text;
  const algorithm = /^([a-z0-9+._-]+):[0-9a-zA-Z=_-]+$/.exec(text)?.[1];
  return algorithm === undefined || algorithm === 'sha256'
    ? refuse(`${place}: "${printable(text.slice(0, 100))}" is not a digest`)
    : refuse(`${place}: digests by ${algorithm} are not supported, only by sha256`);
}

export function newHash(): Hash {
  return createHash('sha256');
}

export function digestOfHash(hash: Hash): Digest {
  return `sha256:${hash.digest('hex')}`;
}

export function digestOfBytes(bytes: Uint8Array | string): Digest {
  return digestOfHash(newHash().update(bytes));
}

/** The 64 digits. */
export const hexOf = (digest: Digest): string => digest.slice('sha256:'.length);

export function descriptorOf(value: unknown, place: string): Descriptor {
  if (!isObject(value)) return refuse(`${place} is not a descriptor`);
  const annotations =
    value['annotations'] === undefined ? {} : objectAt(value, 'annotations', place);
  for (const name of Object.keys(annotations)) optionalTextAt(annotations, name, place);
  return {
    mediaType: textAt(value, 'mediaType', place),
    digest: digestOf(textAt(value, 'digest', place), place),
    sizeBytes: sizeAt(value, 'size', place),
    annotations,
    document: value,
  };
}

/** The descriptor for what a document became; what spoke of the old content alone is left out. */
export function descriptorDocument(
  { document }: Descriptor,
  { digest, sizeBytes }: { readonly digest: Digest; readonly sizeBytes: number },
): JsonObject {
  const { data: _data, urls: _urls, ...rest } = document;
  return { ...rest, digest, size: sizeBytes };
}
