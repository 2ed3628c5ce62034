// The data directory: made 0700 if it is absent, resolved to its real path (mount options hold
// it), and refused if its file system cannot carry overlay upper directories.
import { mkdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';

/** Tells why a directory cannot carry overlay upper directories; undefined if it can. */
export type ProbeOverlayUpper = (
  directory: string,
) => Promise<string | undefined> | string | undefined;

/** The root cannot be used; the message says why and what to do. */
export class RootRefused extends Error {
  override readonly name = 'RootRefused';
}

/** Characters that separate directories and options in the data of an overlay mount. */
const separators = /[:,\\]/;

/** Makes and checks the root; answers its real path. */
export async function prepareRoot(root: string): Promise<string> {
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
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
    throw new RootRefused(`the root ${root} cannot be used: ${(error as Error).message}`);
  }
}

/** Makes `snapshots` below a checked root and answers its path. */
export async function prepareSnapshots(root: string, probe: ProbeOverlayUpper): Promise<string> {
  const snapshots = path.join(root, 'snapshots');
  await mkdir(snapshots, { recursive: true, mode: 0o700 });
  const reason = await probe(snapshots);
  if (reason !== undefined) {
    throw new RootRefused(
      `the file system of ${root} cannot carry overlay upper directories (${reason}): ` +
        'choose a root on ext4, xfs, btrfs or tmpfs',
    );
  }
  return snapshots;
}
