// What a snapshot shows, mounted as containerd says.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './command.ts';
import type { Image } from './image.ts';
import { foundTree, type Tree } from './tree.ts';
import type { VarveNode } from './varve-node.ts';

/** Mounts a snapshot while something is done below its root. */
export async function withMounts<Result>(
  node: VarveNode,
  key: string,
  look: (root: string) => Promise<Result>,
): Promise<Result> {
  const target = join(node.scratch.path, 'mounted');
  mkdirSync(target, { recursive: true });
  await runCommand(['sh', '-e', '-c', await node.snapshots('mounts', target, key)]);
  try {
    return await look(target);
  } finally {
    await runCommand(['umount', '-R', target]);
  }
}

/** The name of an image's topmost snapshot. */
export const chainOf = ({ layers }: Image): string => layers.at(-1)?.chainId ?? '';

/** Looks at the files of a committed snapshot through a view. */
export async function lookAt<Result>(
  node: VarveNode,
  name: string,
  look: (root: string) => Promise<Result>,
): Promise<Result> {
  // What an import gave up is collected soon after it, and views without a lease with it: first.
  await node.collectGarbage();
  await node.snapshots('view', 'look', name);
  try {
    return await withMounts(node, 'look', look);
  } finally {
    await node.snapshots('rm', 'look');
  }
}

/** The files below a directory, but for what every ext4 has of its own. */
export const filesBelow = (root: string): Tree =>
  new Map([...foundTree(root)].filter(([path]) => path !== 'lost+found'));
