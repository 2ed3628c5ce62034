// Work on snapshots' directories: many at a time, each with its own result.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { getProjectUsage } from '../../src/adapters/native/quota.ts';
import { snapshotDirectories } from '../../src/adapters/snapshot-dirs/directories.ts';
import { directoryOperations } from '../../src/adapters/snapshot-dirs/operations.ts';
import type { EffectResult } from '../../src/engine/ports.ts';
import { mount, mountFlag } from '../../src/adapters/native/mounts.ts';
import { frozenFileSystem } from './frozen-file-system.ts';
import { isRoot, scratchDirectory, testPool } from './scratch.ts';

const timeout = 60_000;

const outcome = (result: EffectResult<unknown>): string =>
  result.ok ? 'done' : `${result.failure.code} ${result.failure.path}`;

test('a hundred layers are made and deleted at once', { timeout }, async (t) => {
  const snapshotsPath = scratchDirectory(t);
  const operations = directoryOperations(testPool(t), { snapshotsPath, deadlineMs: 30_000 });
  const ids = Array.from({ length: 100 }, (_, index) => index + 1);
  const made = await Promise.all(
    ids.map((snapshotId) =>
      operations.makeLayer({
        ...{ snapshotId, parentId: null, quotaBytes: null },
        withWork: snapshotId % 2 === 0,
      }),
    ),
  );
  assert.deepEqual(new Set(made.map(outcome)), new Set(['done']));
  assert.equal(readdirSync(snapshotsPath).length, 100);
  assert.deepEqual(readdirSync(join(snapshotsPath, '1')), ['fs']);
  assert.deepEqual(readdirSync(join(snapshotsPath, '2')).sort(), ['fs', 'work']);
  const removed = await Promise.all(
    ids.map((id) => operations.removeTree(join(snapshotsPath, String(id)))),
  );
  assert.deepEqual(new Set(removed.map(outcome)), new Set(['done']));
  assert.deepEqual(readdirSync(snapshotsPath), []);
});

test('a size limit is kept, or refused by name where there are no quotas', async (t) => {
  const snapshotsPath = scratchDirectory(t);
  const operations = directoryOperations(testPool(t), { snapshotsPath, deadlineMs: 30_000 });
  const directories = snapshotDirectories(snapshotsPath, operations);
  const request = { snapshotId: 1, parentId: null, withWork: true, quotaBytes: 1 << 20 };
  const made = await directories.create(request);
  const usage = getProjectUsage(snapshotsPath, 1);
  if (made.ok) {
    assert.equal(usage.ok && usage.value.limitBytes, 1 << 20);
    assert.ok((await directories.remove(1, true)).ok);
    const forgotten = getProjectUsage(snapshotsPath, 1);
    assert.ok(!forgotten.ok || forgotten.value.limitBytes === 0);
  } else {
    assert.ok(!usage.ok);
    assert.equal(made.failure.code, 'ENOTSUP');
    assert.match(made.failure.message, /project quotas.*rootfsQuota.*disk_quota.*prjquota/);
  }
});

test('a failure among many names its own directory', { timeout, skip: !isRoot }, async (t) => {
  const snapshotsPath = scratchDirectory(t);
  const operations = directoryOperations(testPool(t), { snapshotsPath, deadlineMs: 30_000 });
  const directories = ['1', '2', '3'].map((id) => join(snapshotsPath, id));
  for (const directory of directories) mkdirSync(join(directory, 'fs'), { recursive: true });
  const busy = join(snapshotsPath, '2/fs');
  assert.ok(
    mount({ source: snapshotsPath, target: busy, type: '', flags: mountFlag.bind, data: '' }).ok,
  );
  const removed = await Promise.all(
    directories.map((directory) => operations.removeTree(directory)),
  );
  assert.deepEqual(removed.map(outcome), ['done', `EBUSY ${busy}`, 'done']);
  const made = await Promise.all(
    [1, 2].map((snapshotId) =>
      operations.makeLayer({ snapshotId, parentId: null, withWork: false, quotaBytes: null }),
    ),
  );
  assert.deepEqual(made.map(outcome), ['done', `EEXIST ${join(snapshotsPath, '2')}`]);
});

test(
  'one deletion that hangs does not keep its neighbours',
  { timeout, skip: !isRoot },
  async (t) => {
    const frozen = frozenFileSystem(t);
    if (frozen === undefined) return;
    const snapshotsPath = scratchDirectory(t);
    const pool = testPool(t, { workersMax: 4 });
    const operations = directoryOperations(pool, { snapshotsPath, deadlineMs: 300 });
    const free = ['1', '2'].map((id) => join(snapshotsPath, id));
    for (const directory of free) mkdirSync(directory);
    const hanging = join(frozen.path, '0');
    const removed = await Promise.all(
      [hanging, ...free].map((directory) => operations.removeTree(directory)),
    );
    assert.deepEqual(removed.map(outcome), [`ETIMEDOUT ${hanging}`, 'done', 'done']);
    assert.deepEqual(
      free.map((directory) => existsSync(directory)),
      [false, false],
    );
    frozen.thaw();
  },
);
