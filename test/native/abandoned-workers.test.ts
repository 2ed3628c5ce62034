// Workers that the kernel does not let go.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { frozenFileSystem } from './frozen-file-system.ts';
import { isRoot, isRunning, testPool, until } from './scratch.ts';

const deadlineMs = 30_000;
const timeout = 60_000;

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
