// Scratch directories for tests of the native parts: everything below is unmounted and deleted at
// the end of the test, also after a failure.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

import { HelperPool, type HelperPoolOptions } from '../../src/adapters/helper-pool/pool.ts';
import { findNativeFile } from '../../src/adapters/native/location.ts';
import { unmount, unmountFlag } from '../../src/adapters/native/mounts.ts';

/** Whether the test may mount. */
export const isRoot = process.getuid?.() === 0;

/** The mount points below a directory, innermost last. */
export const mountsBelow = (directory: string): readonly string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(`${directory}/`));

/** A new directory that ends with the test. */
export const scratchDirectory = (t: TestContext): string => {
  const directory = mkdtempSync(join(tmpdir(), 'varve-native-'));
  t.after(() => {
    for (const path of [...mountsBelow(directory)].reverse()) {
      unmount(path, unmountFlag.detach | unmountFlag.noFollow);
    }
    // Deleting through a mount that could not be removed would reach into other trees.
    if (mountsBelow(directory).length === 0) rmSync(directory, { recursive: true, force: true });
  });
  return directory;
};

/** A pool of workers that also sleep on request; ends with the test. */
export const testPool = (t: TestContext, options: Partial<HelperPoolOptions> = {}): HelperPool => {
  const pool = new HelperPool({
    program: findNativeFile('varve-helper'),
    programArguments: ['--test'],
    ...options,
  });
  t.after(() => pool.close());
  return pool;
};

/** Runs a program and returns what it prints. */
export const runProgram = (program: string, args: readonly string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', timeout: 20_000, stdio: 'pipe' }).trim();

/** Resolves once the condition holds; fails when it does not within the limit. */
export const until = async (condition: () => boolean, limitMs = 30_000): Promise<void> => {
  const endsAt = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > endsAt) throw new Error(`after ${limitMs} ms still not: ${String(condition)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

/** Whether a process exists. */
export const isRunning = (pid: number | undefined): boolean => existsSync(`/proc/${pid}`);
