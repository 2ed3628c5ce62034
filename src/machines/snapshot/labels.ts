// Labels: what is stored of a request's labels, and how Update changes them.
import { accepted, rejected, type Result } from '../kernel/rejection.ts';
import { shorten } from '../kernel/text.ts';
import type { Labels } from './events.ts';

/** Where a finished block layer lies on this machine; told to clients, never stored. */
export const layerFileLabel = 'containerd.io/snapshot/overlaybd.localcommitpath';

/** containerd's limit for a label: its key and value together, in bytes of UTF-8. */
export const labelBytesMax = 4096;

/** Labels of one snapshot, at most; containerd sends a handful. */
export const labelCountMax = 1024;

/** Key or name of a snapshot, in bytes of UTF-8, at most. */
export const nameBytesMax = 4096;

function byteLength(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}

/** Refuses an empty or over-long key or name; `field` names it in the message. */
export function checkName(name: string, field: 'key' | 'name' | 'parent'): Result<void> {
  if (name === '')
    return rejected('invalid_argument', `the ${field} of a snapshot must not be empty`);
  const length = byteLength(name);
  return length <= nameBytesMax
    ? accepted(undefined)
    : rejected(
        'invalid_argument',
        `the ${field} ${shorten(name)} has ${length} bytes; at most ${nameBytesMax} are allowed`,
      );
}

/** What is stored of the labels sent: those with a value. Refuses what containerd refuses. */
export function storedLabels(labels: Labels): Result<Labels> {
  const entries = Object.entries(labels);
  if (entries.length > labelCountMax) {
    return rejected(
      'invalid_argument',
      `${entries.length} labels were given; at most ${labelCountMax} are allowed`,
    );
  }
  for (const [key, value] of entries) {
    // containerd's own store has no place for it, and no field mask could name it.
    if (key === '') return rejected('invalid_argument', 'the key of a label must not be empty');
    const length = byteLength(key) + byteLength(value);
    if (length > labelBytesMax) {
      return rejected(
        'invalid_argument',
        `label ${shorten(key)} has ${length} bytes with its value; ` +
          `at most ${labelBytesMax} are allowed`,
      );
    }
  }
  // Who updates what was read sends ours back.
  const kept = entries.filter(([key, value]) => value !== '' && key !== layerFileLabel);
  kept.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return accepted(Object.fromEntries(kept));
}

const labelPathPrefix = 'labels.';

/**
 * The labels after an Update. Paths are applied from left to right: `labels` replaces all,
 * `labels.<key>` sets one (everything after the first `labels.` is the key) or deletes it if the
 * request has no value for it; any other path refuses the whole call. No paths replace all.
 */
export function updatedLabels(
  current: Labels,
  update: Labels,
  paths: readonly string[],
): Result<Labels> {
  if (paths.length === 0) return storedLabels(update);
  let next = new Map(Object.entries(current));
  for (const path of paths) {
    if (path === 'labels') {
      next = new Map(Object.entries(update));
    } else if (path.startsWith(labelPathPrefix) && path.length > labelPathPrefix.length) {
      const key = path.slice(labelPathPrefix.length);
      const value = Object.hasOwn(update, key) ? update[key] : undefined;
      if (value === undefined || value === '') next.delete(key);
      else next.set(key, value);
    } else {
      return rejected(
        'invalid_argument',
        `field mask path ${JSON.stringify(shorten(path))} cannot be updated: ` +
          'only labels and labels.<key> can',
      );
    }
  }
  return storedLabels(Object.fromEntries(next));
}
