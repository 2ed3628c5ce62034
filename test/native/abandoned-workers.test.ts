// Workers that the kernel does not let go. A frozen file system holds whoever changes it in an
// uninterruptible sleep, where even a kill waits until it is thawed.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { isRoot, isRunning, runProgram, scratchDirectory, testPool, until } from './scratch.ts';

const deadlineMs = 30_000;
const timeout = 60_000;

interface FrozenFileSystem {
  readonly path: string;
  thaw(): void;
}

/** A small file system with the directories 0 to 9, frozen; undefined where none can be made. */
const frozenFileSystem = (t: TestContext): FrozenFileSystem | undefined => {
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
  for (let name = 0; name < 10; name += 1) mkdirSync(join(path, String(name)));
  runProgram('fsfreeze', ['--freeze', path]);
  isFrozen = true;
  return { path, thaw };
};

test(
  'a worker that a kill does not end is abandoned, reported and replaced',
  {
    timeout,
    skip: !isRoot,
  },
  async (t) => {
    const frozen = frozenFileSystem(t);
    if (frozen === undefined) return;
    const abandoned: unknown[] = [];
    const pool = testPool(t, { workersMax: 1, onAbandoned: (worker) => abandoned.push(worker) });
    const path = join(frozen.path, '0');
    const remove = { operation: 'remove-tree', path, parent: frozen.path } as const;
    const running = pool.run(remove, { deadlineMs: 100 });
    const [pid] = pool.status.workerPids;
    const result = await running;
    assert.ok(!result.ok);
    assert.deepEqual([result.code, result.step, result.abandoned], ['ETIMEDOUT', 'deadline', true]);
    assert.deepEqual(abandoned, [{ pid, operation: 'remove-tree', subject: path }]);
    assert.equal(pool.status.abandonedCount, 1);
    assert.ok(isRunning(pid));
    assert.ok((await pool.run({ operation: 'sleep', milliseconds: 0 }, { deadlineMs })).ok);
    frozen.thaw();
    await until(() => pool.status.abandonedCount === 0);
    assert.ok(!isRunning(pid));
  },
);

test(
  'with eight abandoned workers nothing is started until one of them ends',
  {
    timeout,
    skip: !isRoot,
  },
  async (t) => {
    const frozen = frozenFileSystem(t);
    if (frozen === undefined) return;
    const pool = testPool(t, { workersMax: 8 });
    const remove = (name: number, limitMs: number): ReturnType<typeof pool.run> => {
      const path = join(frozen.path, String(name));
      const parent = frozen.path;
      return pool.run({ operation: 'remove-tree', path, parent }, { deadlineMs: limitMs });
    };
    await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((name) => remove(name, 100)));
    assert.equal(pool.status.abandonedCount, 8);
    const refused = await remove(8, deadlineMs);
    assert.ok(!refused.ok);
    assert.deepEqual([refused.code, refused.step], ['EAGAIN', 'queue']);
    assert.deepEqual(pool.status.workerPids, []);
    frozen.thaw();
    await until(() => pool.status.abandonedCount === 0);
    assert.ok((await remove(9, deadlineMs)).ok);
  },
);
