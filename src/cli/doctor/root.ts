// The data directory: which file system holds it, whether the kernel can use it as it is needed,
// and who sees what is mounted in it.
import type { Machine } from './machine.ts';
import { note, ok, problem, type Finding, type Look } from './look.ts';

const topic = 'root';

/** Why a directory cannot carry overlay upper directories; undefined if it can. */
export type ProbeOverlayUpper = (directory: string) => Promise<string | undefined>;

export interface RootOptions {
  /** Real path of the data directory. */
  readonly root: string;
  readonly searchPath: string;
  readonly probeOverlayUpper: ProbeOverlayUpper;
}

interface Mount {
  readonly mountPoint: string;
  readonly type: string;
  readonly options: readonly string[];
  readonly isShared: boolean;
}

export function rootLooks(machine: Machine, options: RootOptions): readonly Look[] {
  const { root } = options;
  const mountinfo = '/proc/self/mountinfo';
  return [
    {
      topic,
      name: 'file system',
      how: `${mountinfo}, a trial in ${root}/snapshots`,
      look: async () => fileSystem(machine, options, await mountOf(machine, root)),
    },
    {
      topic,
      name: 'mount propagation',
      how: mountinfo,
      look: async () => propagation(await mountOf(machine, root)),
    },
    {
      topic,
      name: 'project quota',
      how: mountinfo,
      look: async () => projectQuota(await mountOf(machine, root)),
    },
  ];
}

/** The mount that holds a path: the longest mount point above it, the newest of these. */
export async function mountOf(machine: Machine, path: string): Promise<Mount> {
  const text = await machine.read('/proc/self/mountinfo');
  let best: Mount | undefined;
  for (const line of text.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , , escaped = '', own = '', ...tags] = before.split(' ');
    const [type = '', , ofFileSystem = ''] = after.split(' ');
    const mountPoint = unescaped(escaped);
    const isAbove = path === mountPoint || path.startsWith(mountPoint.replace(/\/?$/, '/'));
    if (escaped === '' || !isAbove) continue;
    if (best !== undefined && mountPoint.length < best.mountPoint.length) continue;
    const options = [...own.split(','), ...ofFileSystem.split(',')];
    const isShared = tags.some((tag) => tag.startsWith('shared:'));
    best = { mountPoint, type, options, isShared };
  }
  if (best === undefined) throw new Error(`no mount holds ${path}`);
  return best;
}

// The kernel writes blank, tab, newline and backslash in octal.
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));

async function fileSystem(
  machine: Machine,
  { root, searchPath, probeOverlayUpper }: RootOptions,
  { type, mountPoint, options }: Mount,
): Promise<Finding> {
  const where = `${root} is on ${type}, mounted at ${mountPoint}`;
  if (options.includes('ro')) return problem(`${where} read-only`, 'mount it for writing');
  if (!(await machine.exists(`${root}/snapshots`))) {
    return note(`${where}; a start of varve serve makes it, and tries overlay on it`);
  }
  const reason = await probeOverlayUpper(`${root}/snapshots`);
  if (reason === undefined) return ok(`${where}, which can carry overlay upper directories`);
  const missing: string[] = [];
  for (const name of ['mount.fuse3', 'fuse-overlayfs']) {
    if ((await machine.program(name, searchPath)) === undefined) missing.push(name);
  }
  const found = `${where}, which cannot carry overlay upper directories: ${reason}`;
  return missing.length === 0
    ? note(`${found}; fuse-overlayfs mounts overlays there, more slowly`)
    : problem(
        `${found}; ${missing.join(' and ')} for doing it without the kernel: not installed`,
        'put the root on ext4, xfs, btrfs or tmpfs, or install fuse-overlayfs and fuse3',
      );
}

const propagation = ({ mountPoint, isShared }: Mount): Finding =>
  isShared
    ? ok(`${mountPoint} is shared: what is mounted in it is seen in other mount namespaces`)
    : note(
        `${mountPoint} is private: what is mounted in it is seen in its own mount namespace alone, ` +
          'which is enough where varve serve and containerd are both in that',
        `mount --make-shared ${mountPoint}, if containerd has another one`,
      );

function projectQuota({ type, options }: Mount): Finding {
  const has = options.some((option) => option === 'prjquota' || option === 'pquota');
  return has
    ? ok(`${type} is mounted with project quota`)
    : note(
        `${type} is mounted without project quota: size limits of containers (rootfsQuota) are refused`,
        'mount it with prjquota, if there shall be any',
      );
}
