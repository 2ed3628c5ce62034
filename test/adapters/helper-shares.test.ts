// Each kind of work on directories has helper processes of its own.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import type { HelperPool } from '../../src/adapters/helper-pool/pool.ts';
import type {
  HelperOperation,
  HelperRequest,
  HelperResult,
} from '../../src/adapters/helper-pool/requests.ts';
import { directoryOperations, helperCount } from '../../src/adapters/snapshot-dirs/operations.ts';

const late: HelperResult<never> = {
  ...{ ok: false, errno: 110, code: 'ETIMEDOUT', step: 'deadline' },
  message: 'not done within its time',
};

type Answer = (request: HelperRequest) => Promise<HelperResult<unknown>>;

const operationsOf = (run: Answer): ReturnType<typeof directoryOperations> =>
  directoryOperations({ run } as unknown as HelperPool, { snapshotsPath: '/s', deadlineMs: 1 });

/** How often each kind of operation is under way, at most. */
class Shares {
  readonly #running = new Map<string, number>();
  readonly most = new Map<string, number>();

  async during(kind: string, work: () => Promise<unknown>): Promise<void> {
    const running = (this.#running.get(kind) ?? 0) + 1;
    this.#running.set(kind, running);
    this.most.set(kind, Math.max(this.most.get(kind) ?? 0, running));
    await work();
    this.#running.set(kind, running - 1);
  }
}

test('two helpers at most delete, also when a batch has passed its deadline', async () => {
  const shares = new Shares();
  const removed: string[] = [];
  const operations = operationsOf(async (request) => {
    await shares.during('delete', turn);
    if (request.operation !== 'remove-tree' || request.path.endsWith('/hangs')) return late;
    removed.push(request.path);
    return { ok: true, value: { removedCount: 1 } };
  });
  const names = Array.from({ length: 100 }, (_, index) =>
    index % 40 === 7 ? 'hangs' : `${index}`,
  );
  const results = await Promise.all(names.map((name) => operations.removeTree(`/s/${name}`)));
  assert.deepEqual(
    results.map(({ ok }) => ok),
    names.map((name) => name !== 'hangs'),
    'each has its own outcome',
  );
  assert.equal(removed.length, 97);
  assert.equal(shares.most.get('delete'), 2);
});

test('deletions and queries that hang leave a helper for every commit', async () => {
  const taken: HelperRequest[] = [];
  const operations = operationsOf((request) => {
    taken.push(request);
    const isForCommit = operationsIn(request).every((one) => JSON.stringify(one).includes('new'));
    const value = { sizeBytes: 1, inodeCount: 1 };
    if (!isForCommit) return new Promise<never>(() => undefined);
    const reply: HelperResult<unknown> = { ok: true, value };
    const replies = operationsIn(request).map(() => reply);
    return Promise.resolve(
      request.operation === 'batch' ? { ok: true, value: { replies } } : reply,
    );
  });
  const names = Array.from({ length: 50 }, (_, index) => `/s/${index}`);
  for (const name of names) {
    void operations.removeTree(name);
    void operations.diskUsage.query(`${name}/fs`);
  }
  await turn();
  const measured = await Promise.all(
    names.map((name) => operations.diskUsage.commit(`${name}/new`)),
  );
  assert.deepEqual(new Set(measured.map(({ ok }) => ok)), new Set([true]));
  assert.ok(taken.length < helperCount + names.length, 'commits shared requests');
});

test('one sync serves all that asked before it began, and none that asked later', async () => {
  const answers: (() => void)[] = [];
  const operations = operationsOf(
    () => new Promise((resolve) => answers.push(() => resolve({ ok: true, value: {} }))),
  );
  let doneCount = 0;
  const ask = (): void => void operations.sync().then(() => (doneCount += 1));
  ask();
  await turn();
  ask();
  ask();
  await turn();
  assert.equal(answers.length, 1);
  answers[0]?.();
  await turn();
  assert.deepEqual([doneCount, answers.length], [1, 2]);
  answers[1]?.();
  await turn();
  assert.deepEqual([doneCount, answers.length], [3, 2]);
});

const operationsIn = (request: HelperRequest): readonly HelperOperation[] =>
  request.operation === 'batch' ? request.requests : [request];
