// Deletions share the helper processes with what Commit waits for.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import type { HelperPool } from '../../src/adapters/helper-pool/pool.ts';
import type { HelperRequest, HelperResult } from '../../src/adapters/helper-pool/requests.ts';
import { directoryOperations } from '../../src/adapters/snapshot-dirs/operations.ts';

const late: HelperResult<never> = {
  ...{ ok: false, errno: 110, code: 'ETIMEDOUT', step: 'deadline' },
  message: 'not done within its time',
};

test('two helpers at most delete, also when a batch has passed its deadline', async () => {
  let runningCount = 0;
  let runningCountMax = 0;
  const removed: string[] = [];
  const run = async (request: HelperRequest): Promise<HelperResult<unknown>> => {
    runningCount += 1;
    runningCountMax = Math.max(runningCountMax, runningCount);
    await turn();
    runningCount -= 1;
    if (request.operation !== 'remove-tree' || request.path.endsWith('/hangs')) return late;
    removed.push(request.path);
    return { ok: true, value: { removedCount: 1 } };
  };
  const pool = { run } as unknown as HelperPool;
  const operations = directoryOperations(pool, { snapshotsPath: '/s', deadlineMs: 1 });
  const names = Array.from({ length: 100 }, (_, index) => (index % 40 === 7 ? 'hangs' : `${index}`));
  const results = await Promise.all(names.map((name) => operations.removeTree(`/s/${name}`)));
  assert.deepEqual(
    results.map(({ ok }) => ok),
    names.map((name) => name !== 'hangs'),
    'each has its own outcome',
  );
  assert.equal(removed.length, 97);
  assert.equal(runningCountMax, 2);
});
