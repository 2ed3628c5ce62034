// The data directory: made 0700 if it is absent, resolved to its real path (mount options hold
// it), and refused if its file system cannot carry overlay upper directories.
import { readdir, realpath, rm, stat } from 'node:fs/promises';
import path from 'node:path';

/** Makes a directory (0700) and what is missing above it; one that exists is left as it is. */
export type MakeDirectory = (directory: string) => Promise<void>;

export interface SnapshotsPreparation {
  readonly makeDirectory: MakeDirectory;
  /** Tells why a directory cannot carry overlay upper directories; undefined if it can. */
  readonly whyNoOverlayUpper: (directory: string) => string | undefined;
  /** Who shall mount overlays; `auto`: the kernel where it can, else a program if it is there. */
  readonly overlay: 'auto' | 'kernel' | 'fuse-overlayfs';
  /** The programs of which one is missing that mounts overlays without the kernel; [] if none. */
  readonly missingFusePrograms: () => Promise<readonly string[]>;
}

export interface PreparedSnapshots {
  readonly path: string;
  /** Who mounts overlays on it. */
  readonly overlay: 'kernel' | 'fuse-overlayfs';
  /** Why it is not the kernel, if nobody asked for that. */
  readonly reason?: string;
}

/** The root cannot be used; the message says why and what to do. */
export class RootRefused extends Error {
  override readonly name = 'RootRefused';
}

/** Characters that separate directories and options in the data of an overlay mount. */
const separators = /[:,\\]/;

/** Makes and checks the root; answers its real path. */
export async function prepareRoot(root: string, makeDirectory: MakeDirectory): Promise<string> {
  try {
    await makeDirectory(root);
    const resolved = await realpath(root);
    if (!(await stat(resolved)).isDirectory()) throw new RootRefused(`${root} is not a directory`);
    if (separators.test(resolved)) {
      throw new RootRefused(
        `the root ${resolved} holds a colon, comma or backslash, ` +
          'which overlay mounts cannot carry: choose another root',
      );
    }
    return resolved;
  } catch (error) {
    if (error instanceof RootRefused) throw error;
    throw new RootRefused(
      `the root ${root} cannot be used (${(error as Error).message}): choose another root`,
    );
  }
}

/** Makes `snapshots` below a checked root, and finds out how overlays are mounted on it. */
export async function prepareSnapshots(
  root: string,
  { makeDirectory, whyNoOverlayUpper, overlay, missingFusePrograms }: SnapshotsPreparation,
): Promise<PreparedSnapshots> {
  const snapshots = path.join(root, 'snapshots');
  await makeDirectory(snapshots);
  await removeScratch(snapshots);
  if (overlay === 'fuse-overlayfs') return { path: snapshots, overlay };
  const reason = whyNoOverlayUpper(snapshots);
  if (reason === undefined) return { path: snapshots, overlay: 'kernel' };
  const missing = overlay === 'kernel' ? [] : await missingFusePrograms();
  if (overlay === 'auto' && missing.length === 0) {
    return { path: snapshots, overlay: 'fuse-overlayfs', reason };
  }
  const otherwise =
    overlay === 'kernel'
      ? ', or let "overlay" be "auto"'
      : `, or install ${missing.join(' and ')}, which mount overlays without the kernel`;
  throw new RootRefused(
    `the file system of ${root} cannot carry overlay upper directories (${reason}): ` +
      `choose a root on ext4, xfs, btrfs or tmpfs${otherwise}`,
  );
}

/** Deletes what a check left behind that was ended in the middle. */
async function removeScratch(snapshots: string): Promise<void> {
  for (const name of await readdir(snapshots)) {
    if (!/^\.varve-probe-\d+$/.test(name)) continue;
    await rm(path.join(snapshots, name), { recursive: true, force: true });
  }
}
