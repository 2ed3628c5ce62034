// A small file system of its own, filled by a process that may go on filling it; the end of the
// test takes both away.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import { unmount, unmountFlag } from '../../src/adapters/native/mounts.ts';
import { scratchDirectory } from './server-process.ts';

const program = fileURLToPath(new URL('disk-filler.ts', import.meta.url));

export interface SmallDisk {
  /** Where it is mounted. */
  readonly path: string;
  /** A directory beside it, for sockets. */
  readonly scratch: string;
  /** Fills it to the last byte, and goes on until `end`. */
  fill(): Promise<DiskFiller>;
}

export interface DiskFiller {
  /** Ends the writing; what was written stays. */
  end(): Promise<void>;
  /** Deletes what was written. */
  clear(): Promise<void>;
}

/** Mounts a new ext4 with its journal; undefined where none can be had, and the test is skipped. */
export async function smallDisk(
  t: TestContext,
  { sizeMebibytes }: { readonly sizeMebibytes: number },
): Promise<SmallDisk | undefined> {
  let target = '';
  // Hooks run in the order of their registration: before the scratch directory is deleted.
  t.after(() => unmount(target, unmountFlag.detach));
  const scratch = await scratchDirectory(t);
  target = path.join(scratch, 'disk');
  const image = path.join(scratch, 'image');
  await mkdir(target);
  try {
    execFileSync('truncate', [`--size=${sizeMebibytes}M`, image]);
    execFileSync('mkfs.ext4', ['-q', image]);
    execFileSync('mount', ['-o', 'loop', image, target], { stdio: 'pipe' });
  } catch (error) {
    t.skip(`no ext4 on a loop device here: ${(error as Error).message}`);
    return undefined;
  }
  return { path: target, scratch, fill: () => fillDisk(t, path.join(target, 'filler')) };
}

/** Fills the disk that holds `file`, which is made, and goes on until `end`. */
export async function fillDisk(t: TestContext, file: string): Promise<DiskFiller> {
  const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(end);
  await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => Promise.reject(new Error('the disk could not be filled'))),
  ]);
  return { end, clear: () => rm(file) };
}
