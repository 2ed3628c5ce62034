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

test(
  'a directory whose deletion is stuck costs one worker, however often it is tried',
  { timeout, skip: !isRoot },
  async (t) => {
    const frozen = frozenFileSystem(t);
    if (frozen === undefined) return;
    const pool = testPool(t);
    const request = (name: string) =>
      ({
        operation: 'remove-tree',
        path: join(frozen.path, name),
        parent: frozen.path,
      }) as const;
    const first = await pool.run(request('0'), { deadlineMs: 100 });
    assert.ok(!first.ok && first.abandoned);
    const batch = { operation: 'batch', requests: [request('1'), request('0')] } as const;
    for (const again of [request('0'), batch]) {
      const refused = await pool.run(again, { deadlineMs });
      assert.ok(!refused.ok);
      assert.deepEqual([refused.code, refused.step], ['EBUSY', 'queue']);
    }
    assert.equal(pool.status.abandonedCount, 1);
    frozen.thaw();
    await until(() => pool.status.abandonedCount === 0);
    assert.ok((await pool.run(request('0'), { deadlineMs })).ok);
  },
);

test(
  'where no directory can be deleted, those that live are still measured',
  { timeout, skip: !isRoot },
  async (t) => {
    const frozen = frozenFileSystem(t);
    if (frozen === undefined) return;
    const pool = testPool(t);
    const results = await Promise.all(
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((name) => {
        const path = join(frozen.path, String(name));
        const parent = frozen.path;
        return pool.run({ operation: 'remove-tree', path, parent }, { deadlineMs: 100 });
      }),
    );
    assert.ok(results.every(({ ok }) => !ok));
    const usage = await pool.run({ operation: 'disk-usage', path: '/etc/apt' }, { deadlineMs });
    assert.ok(usage.ok, JSON.stringify(usage));
    frozen.thaw();
    await until(() => pool.status.abandonedCount === 0);
  },
);

test(
  'with one order stuck in the kernel no other is given on account of the same device',
  {
    timeout,
    skip: !isRoot,
  },
  async (t) => {
    const frozen = frozenFileSystem(t);
    if (frozen === undefined) return;
    const pool = testPool(t, { workersMax: 2 });
    const order = (subject: string, path: string) =>
      ({ operation: 'make-directory', subject, path }) as const;
    const stuck = await pool.run(order('dev_7', join(frozen.path, 'new')), { deadlineMs: 100 });
    assert.ok(!stuck.ok);
    assert.equal(stuck.abandoned, true);
    const elsewhere = '/proc/nothing';
    const same = await pool.run(order('dev_7', elsewhere), { deadlineMs });
    assert.ok(!same.ok);
    assert.equal(same.code, 'EBUSY');
    assert.match(same.message, /still stuck in the kernel with dev_7/);
    const other = await pool.run(order('dev_8', elsewhere), { deadlineMs });
    assert.ok(!other.ok);
    assert.equal(other.code, 'ENOENT');
    frozen.thaw();
    await until(() => pool.status.abandonedCount === 0);
    const later = await pool.run(order('dev_7', elsewhere), { deadlineMs });
    assert.ok(!later.ok);
    assert.equal(later.code, 'ENOENT');
  },
);
