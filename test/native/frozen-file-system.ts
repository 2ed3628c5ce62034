// A frozen file system holds whoever changes it in an uninterruptible sleep, where even a kill
// waits until it is thawed.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

import { runProgram, scratchDirectory } from './scratch.ts';

export interface FrozenFileSystem {
  readonly path: string;
  freeze(): void;
  thaw(): void;
}

/**
 * A frozen file system outlives even its unmounting, and keeps its loop device. So if the test is
 * killed, which closes the pipe to this process, it is thawed and unmounted all the same.
 */
function thawWhenKilled(path: string): ChildProcess {
  const script = 'read -r line; fsfreeze --unfreeze "$0"; umount "$0"; true';
  return spawn('sh', ['-c', script, path], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
}

/** A small file system with the directories 0 to 9, frozen; undefined where none can be made. */
export const frozenFileSystem = (t: TestContext): FrozenFileSystem | undefined => {
  let path = '';
  let isFrozen = false;
  const thaw = (): void => {
    if (isFrozen) runProgram('fsfreeze', ['--unfreeze', path]);
    isFrozen = false;
  };
  // Hooks run in the order of their registration: before the scratch directory is deleted.
  t.after(thaw);
  const directory = scratchDirectory(t);
  const image = join(directory, 'image');
  path = join(directory, 'mounted');
  mkdirSync(path);
  try {
    runProgram('truncate', ['--size=16M', image]);
    runProgram('mkfs.ext4', ['-q', image]);
    runProgram('mount', ['-o', 'loop', image, path]);
  } catch (problem) {
    t.skip(`no file system to freeze here: ${(problem as Error).message}`);
    return undefined;
  }
  const guard = thawWhenKilled(path);
  t.after(() => guard.stdin?.end());
  for (let name = 0; name < 10; name += 1) mkdirSync(join(path, String(name)));
  const freeze = (): void => {
    runProgram('fsfreeze', ['--freeze', path]);
    isFrozen = true;
  };
  freeze();
  return { path, freeze, thaw };
};
