// Whether another process holds the log: told from the kernel's list of locks, which names files by
// inode, and inode numbers repeat from one file system to the next.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openDatabase } from '../../src/adapters/level/database.ts';
import { isLocked } from '../../src/adapters/level/survey.ts';
import { removeRoot, scratchRoot } from './opened-store.ts';

function ownFileSystem(t: TestContext): string {
  const scratch = scratchRoot();
  const path = join(scratch, 'disk');
  mkdirSync(path);
  t.after(() => {
    execFileSync('umount', ['--lazy', path]);
    removeRoot(scratch);
  });
  execFileSync('mount', ['-t', 'tmpfs', 'varve-test', path]);
  return join(path, 'log');
}

test('a lock on a file of the same number on another file system is not ours', async (t) => {
  const [free, held] = [ownFileSystem(t), ownFileSystem(t)];
  const first = await openDatabase(free);
  assert.ok(await isLocked(free));
  await first.close();
  const second = await openDatabase(held);
  t.after(() => second.close());
  const inodes = [free, held].map((path) => statSync(join(path, 'LOCK')).ino);
  assert.equal(inodes[0], inodes[1], 'the case that is asked about');
  assert.ok(await isLocked(held));
  assert.equal(await isLocked(free), false);
});
