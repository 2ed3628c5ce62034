// JSON documents of images, which anybody may have written: parsed with bounds, read field by field
// with the place named where one is wrong, and written so that equal content gives equal bytes.
import { printable } from '../history/text.ts';
import { refuse } from './refusal.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** Manifests and indexes are small; registries take 4 MiB, and configurations are no larger. */
export const documentBytesMax = 4 << 20;

/** Parses one document; `place` names it in a refusal. */
export function parseDocument(bytes: Uint8Array, place: string): JsonObject {
  let value: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    value = JSON.parse(text, checkNumber);
  } catch (error) {
    const reason =
      error instanceof RangeError ? 'it is nested too deeply' : (error as Error).message;
    refuse(`${place} is no JSON document that can be read: ${printable(reason)}`);
  }
  return isObject(value) ? value : refuse(`${place} is JSON, but not an object`);
}

// A number that was read as another one would be written as another one.
function checkNumber(_key: string, value: unknown): unknown {
  if (typeof value !== 'number') return value;
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new SyntaxError(`the number ${value} is too large to be kept exactly`);
  }
  return value;
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Refuses fields that other programs take for one of `names`: Go's reader ignores case, so a field
 * that is carried over unread would count there.
 */
export function refuseLookalikes(
  object: JsonObject,
  names: readonly string[],
  place: string,
): void {
  const known = new Map(names.map((name) => [name.toLowerCase(), name]));
  for (const key of Object.keys(object)) {
    const name = known.get(key.toLowerCase());
    if (name === undefined || name === key) continue;
    refuse(`${place} has a field "${printable(key)}", which some programs take for "${name}"`);
  }
}

export function textAt(object: JsonObject, name: string, place: string): string {
  const value = object[name];
  return typeof value === 'string' ? value : refuse(`${place}: "${name}" is not a text`);
}

export function optionalTextAt(
  object: JsonObject,
  name: string,
  place: string,
): string | undefined {
  return object[name] === undefined ? undefined : textAt(object, name, place);
}

export function sizeAt(object: JsonObject, name: string, place: string): number {
  const value = object[name];
  const isSize = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  return isSize ? value : refuse(`${place}: "${name}" is not a number of bytes`);
}

export function objectAt(object: JsonObject, name: string, place: string): JsonObject {
  const value = object[name];
  return isObject(value) ? value : refuse(`${place}: "${name}" is not an object`);
}

/** A list of at most `countMax` elements. */
export function listAt(
  object: JsonObject,
  name: string,
  { place, countMax }: { readonly place: string; readonly countMax: number },
): readonly unknown[] {
  const value = object[name];
  if (!Array.isArray(value)) return refuse(`${place}: "${name}" is not a list`);
  if (value.length > countMax) {
    refuse(`${place}: "${name}" has ${value.length} elements; at most ${countMax} are taken`);
  }
  return value as readonly unknown[];
}

/** The bytes of a document: fields in the order in which they are there, no white space. */
export function documentBytes(document: JsonObject): Buffer {
  return Buffer.from(JSON.stringify(document));
}
