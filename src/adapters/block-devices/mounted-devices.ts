// Which devices are mounted in the directories of snapshots, as the kernel tells it.
import { readFile } from 'node:fs/promises';

export interface MountedDevice {
  readonly snapshotId: number;
  readonly mountPoint: string;
  /** `major:minor` of the file system's device. */
  readonly device: string;
}

/** Every mount at `<snapshotsPath>/<id>/block/mountpoint`, the lowest first. */
export async function mountsBelow(snapshotsPath: string): Promise<readonly MountedDevice[]> {
  return parseMounts(await readFile('/proc/self/mountinfo', 'utf8'), snapshotsPath);
}

/** The same from the text of a mountinfo (proc(5)). */
export function parseMounts(mountinfo: string, snapshotsPath: string): readonly MountedDevice[] {
  const found: MountedDevice[] = [];
  for (const line of mountinfo.split('\n')) {
    const [, , device = '', , escaped = ''] = line.split(' ');
    const mountPoint = unescaped(escaped);
    if (!mountPoint.startsWith(`${snapshotsPath}/`)) continue;
    const place = mountPoint.slice(snapshotsPath.length + 1);
    const id = /^([1-9]\d{0,15})\/block\/mountpoint$/.exec(place)?.[1];
    if (id !== undefined) found.push({ snapshotId: Number(id), mountPoint, device });
  }
  return found;
}

// The kernel writes blank, tab, newline and backslash in octal.
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
