// What is recorded of the content of a block layer: what was found on it, and the options with
// which a device of it is mounted, which its image may ask for.
import { askedMountOptions } from '../device/file-systems.ts';
import { accepted, type Result } from '../kernel/rejection.ts';
import type { BlockContent, Labels } from './events.ts';
import { fileSystemLabel } from './writable.ts';

/** What the layer itself tells. */
export type FoundContent = Omit<BlockContent, 'mountOptions'>;

/**
 * The options that labels ask for, with those that are needed; refuses what is not allowed.
 * `fileSystem` is the one that is there, if that is known.
 */
export function mountOptionsOf(labels: Labels, fileSystem?: string): Result<string> {
  const label = Object.hasOwn(labels, fileSystemLabel) ? labels[fileSystemLabel] : undefined;
  return askedMountOptions(label ?? '', `label ${fileSystemLabel}`, fileSystem);
}

/** The whole content of a layer that is committed with these labels. */
export function contentOf(found: FoundContent, labels: Labels): Result<BlockContent> {
  const mountOptions = mountOptionsOf(labels, found.fileSystem);
  return mountOptions.ok ? accepted({ ...found, mountOptions: mountOptions.value }) : mountOptions;
}
