// Which mounts use the directories of snapshots, as the kernel tells it.
import { readFile } from 'node:fs/promises';
import type { MountInUse } from '../../engine/ports.ts';

/** Every mount that is at, or has layers in, a directory `<snapshotsPath>/<id>`. */
export async function mountsInUse(snapshotsPath: string): Promise<readonly MountInUse[]> {
  return parseMountsInUse(await readFile('/proc/self/mountinfo', 'utf8'), snapshotsPath);
}

/** The same from the text of a mountinfo (proc(5)). */
export function parseMountsInUse(mountinfo: string, snapshotsPath: string): readonly MountInUse[] {
  const found: MountInUse[] = [];
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , , escaped = ''] = before.split(' ');
    const mountPoint = unescaped(escaped);
    // Blanks are escaped, so options of the file system are the last field.
    const options = after.split(' ')[2] ?? '';
    const paths = [mountPoint, ...layersIn(options)];
    const ids = paths.map((path) => idIn(path, snapshotsPath)).filter((id) => id !== undefined);
    if (ids.length > 0) found.push({ mountPoint, snapshotIds: [...new Set(ids)] });
  }
  return found;
}

/** Overlay's directories; where a client has given relative ones, they name no snapshot. */
const layersIn = (options: string): readonly string[] =>
  options
    .split(',')
    .map((option) => /^(?:lowerdir\+?|upperdir|workdir)=(.*)$/.exec(option)?.[1] ?? '')
    .flatMap((value) => unescaped(value).split(':'));

function idIn(path: string, snapshotsPath: string): number | undefined {
  if (!path.startsWith(`${snapshotsPath}/`)) return undefined;
  const id = Number(/^([1-9]\d{0,15})(?:\/|$)/.exec(path.slice(snapshotsPath.length + 1))?.[1]);
  return Number.isSafeInteger(id) ? id : undefined;
}

// The kernel writes blank, tab, newline and backslash in octal.
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
