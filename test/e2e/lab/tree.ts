// What a root file system should hold according to an image's layers, and what one really holds.
// Both are maps from path to one line of text, so that a difference can be read.
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { join, posix } from 'node:path';
import type { TarEntry } from './tar.ts';

export type Tree = ReadonlyMap<string, string>;

const whiteoutPrefix = '.wh.';
const opaqueName = '.wh..wh..opq';

const hash = (content: Buffer): string =>
  createHash('sha256').update(content).digest('hex').slice(0, 16);

interface Rights {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

function line(kind: string, { mode, uid, gid }: Rights, rest = ''): string {
  return `${kind} ${(mode & 0o7777).toString(8)} ${uid}:${gid} ${rest}`.trimEnd();
}

function remove(entries: Map<string, TarEntry>, path: string, isItselfKept: boolean): void {
  for (const known of [...entries.keys()]) {
    if (known.startsWith(`${path}/`) || (known === path && !isItselfKept)) entries.delete(known);
  }
}

function applyLayer(below: Map<string, TarEntry>, layer: readonly TarEntry[]): void {
  // Whiteouts are for what lies below, never for what the same layer brings.
  for (const { path } of layer) {
    const { dir, base } = posix.parse(path);
    if (base === opaqueName) remove(below, dir, true);
    else if (base.startsWith(whiteoutPrefix)) {
      remove(below, posix.join(dir, base.slice(whiteoutPrefix.length)), false);
    }
  }
  for (const entry of layer) {
    if (posix.basename(entry.path).startsWith(whiteoutPrefix)) continue;
    if (entry.kind !== 'directory') remove(below, entry.path, false);
    // Another name for a file stays one when the first name is given to another file.
    const source = entry.kind === 'hardlink' ? below.get(entry.target ?? '') : undefined;
    below.set(entry.path, source ?? entry);
  }
}

function described(entry: TarEntry): string {
  const { kind, mode, uid = 0, gid = 0, content = Buffer.alloc(0) } = entry;
  const rights = { mode, uid, gid };
  switch (kind) {
    case 'file':
      return line('file', rights, `${content.length} ${hash(content)}`);
    case 'symlink':
      return line('symlink', { ...rights, mode: 0o777 }, entry.target ?? '');
    default:
      return line(kind, rights);
  }
}

/** The tree that these layers make, the lowest first. */
export function expectedTree(layers: readonly (readonly TarEntry[])[]): Tree {
  const entries = new Map<string, TarEntry>();
  for (const layer of layers) applyLayer(entries, layer);
  return new Map([...entries].map(([path, entry]) => [path, described(entry)]));
}

function describeFound(path: string, stat: Stats): string {
  if (stat.isDirectory()) return line('directory', stat);
  if (stat.isSymbolicLink()) {
    return line('symlink', { mode: 0o777, uid: stat.uid, gid: stat.gid }, readlinkSync(path));
  }
  if (stat.isFIFO()) return line('fifo', stat);
  if (stat.isCharacterDevice()) return line('character', stat);
  const content = readFileSync(path);
  return line('file', stat, `${content.length} ${hash(content)}`);
}

/** The tree below a directory. */
export function foundTree(root: string): Tree {
  const found = new Map<string, string>();
  const visit = (relative: string): void => {
    for (const name of readdirSync(join(root, relative))) {
      const path = posix.join(relative, name);
      const stat = lstatSync(join(root, path));
      found.set(path, describeFound(join(root, path), stat));
      if (stat.isDirectory()) visit(path);
    }
  };
  visit('');
  return found;
}

/** Where two trees differ, one line each; none if they are equal. */
export function treeDifferences(expected: Tree, found: Tree): readonly string[] {
  const paths = [...new Set([...expected.keys(), ...found.keys()])].sort();
  return paths
    .filter((path) => expected.get(path) !== found.get(path))
    .map((path) => {
      const [wanted, got] = [expected.get(path), found.get(path)];
      return `${path}: expected ${wanted ?? 'nothing'}, found ${got ?? 'nothing'}`;
    });
}
