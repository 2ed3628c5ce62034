// A directory in which whoever looks for something waits until it is let go.
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { run, waitUntil } from './programs.ts';

export interface HangingDirectory {
  /** Whoever waits gets an error. */
  letGo(): void;
  /** The same, and what it hides is there again. */
  remove(): Promise<void>;
}

/** Over a directory that is there, or a new one. */
export async function hangingDirectory(t: TestContext, path: string): Promise<HangingDirectory> {
  mkdirSync(path, { recursive: true });
  const fuse = openSync('/dev/fuse', 'r+');
  let isOpen = true;
  const letGo = (): void => {
    if (isOpen) closeSync(fuse);
    isOpen = false;
  };
  t.after(letGo);
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
  const mounting = spawn('mount', ['-i', '-t', 'fuse', '-o', options, 'hanging', path], {
    stdio: ['ignore', 'inherit', 'inherit', fuse],
  });
  mounting.unref();
  await waitUntil('the directory is there', async () =>
    readFileSync('/proc/self/mounts', 'utf8').includes(` ${path} fuse`),
  );
  const remove = async (): Promise<void> => {
    letGo();
    await run('umount', path);
  };
  return { letGo, remove };
}
