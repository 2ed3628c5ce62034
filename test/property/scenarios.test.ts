// Orders of events that random runs meet too seldom, each of which once went wrong or easily would.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { startEngine } from '../../src/engine/start.ts';
import { Disk, engineOptions, Life } from './engine-ports.ts';
import type { Call, Engine } from '../../src/engine/api.ts';
import type { Result } from '../../src/machines/kernel/rejection.ts';

const call: Call = { cause: { kind: 'rpc' }, deadlineMs: 1e9 };
const request = (key: string, parent = '') => ({ key, parent, labels: {} });

/** Everything that is ready has run when this resolves. */
const settle = async (): Promise<void> => {
  for (let round = 0; round < 4; round += 1) await turn();
};

interface Scene {
  readonly life: Life;
  readonly disk: Disk;
  readonly engine: Engine;
  /** Runs a call to its end, whatever it needs. */
  readonly finish: <Value>(promise: Promise<Value>) => Promise<Value>;
}

async function scene(): Promise<Scene> {
  const disk = new Disk();
  const life = new Life(disk);
  const finish = async <Value>(promise: Promise<Value>): Promise<Value> => {
    let isOver = false;
    void promise.finally(() => (isOver = true)).catch(() => undefined);
    for (let round = 0; round < 100; round += 1) {
      await settle();
      if (isOver) return promise;
      if (life.pending.length > 0) life.complete(0, () => true);
      else life.fireTimers();
    }
    return assert.fail('the call never ends');
  };
  const engine = await finish(startEngine(engineOptions(life, false)));
  return { life, disk, engine, finish };
}

/** Follows a promise without waiting for it. */
function watch(promise: Promise<Result<unknown>>): { answer: string | undefined } {
  const seen: { answer: string | undefined } = { answer: undefined };
  promise.then(
    (result) => (seen.answer = result.ok ? 'ok' : result.rejection.code),
    () => (seen.answer = 'thrown'),
  );
  return seen;
}

async function commit({ engine, finish }: Scene, key: string, name: string): Promise<void> {
  assert.ok((await finish(engine.prepare(request(key), call))).ok);
  assert.ok((await finish(engine.commit({ key, name, labels: {}, parent: '' }, call))).ok);
}

test('a second Prepare of a key is refused while the first makes its directory', async () => {
  const { life, disk, engine, finish } = await scene();
  await finish(engine.prepare(request('before'), call));
  const first = engine.prepare(request('a'), call);
  await settle();
  const count = disk.directories.size;
  const second = await finishWithout(life, 'create', engine.prepare(request('a'), call));
  assert.equal(second, 'already_exists');
  assert.equal(disk.directories.size, count, 'no directory is made for it');
  assert.ok((await finish(first)).ok);
});

test('a Prepare whose parent goes while its directory is made is refused, and leaves nothing', async () => {
  const one = await scene();
  await commit(one, 'k', 'base');
  const prepared = watch(one.engine.prepare(request('child', 'base'), call));
  await settle();
  const removed = watch(one.engine.remove('base', call));
  await settle();
  one.life.end('append');
  await settle();
  assert.equal(removed.answer, 'ok');
  one.life.end('create');
  await settle();
  await one.finish(one.engine.cleanup(call));
  await settle();
  assert.equal(prepared.answer, 'not_found');
  while (one.life.pending.length > 0) one.life.complete(0, () => true);
  assert.deepEqual([...one.disk.directories.keys()], []);
});

test('a Commit is answered with its own outcome, not with an earlier failure on its way', async () => {
  const { life, engine, finish } = await scene();
  await finish(engine.prepare(request('k'), call));
  const again = { key: 'k', name: 'n', labels: {}, parent: '' };
  const first = watch(engine.commit(again, call));
  await settle();
  life.end('sync', false);
  await settle();
  const second = watch(engine.commit(again, call));
  await settle();
  assert.equal(second.answer, undefined, 'it is under way');
  while (life.pending.some(({ name }) => name === 'append')) {
    life.end('append');
    await settle();
  }
  assert.equal(first.answer, 'failed_precondition');
  assert.equal(second.answer, undefined, 'the end of the first is not its own');
  life.end('sync');
  await settle();
  life.end('usage');
  await settle();
  assert.equal(second.answer, undefined, 'its outcome is not durable yet');
  life.end('append');
  await settle();
  assert.equal(second.answer, 'ok');
});

test('a removal that comes behind an update in the log is not begun when the update is durable', async () => {
  const { life, disk, engine, finish } = await scene();
  await finish(engine.prepare(request('k'), call));
  const updated = watch(engine.update({ name: 'k', labels: { x: '1' }, paths: [] }, call));
  await settle();
  const removed = watch(engine.remove('k', call));
  await settle();
  life.end('append');
  await settle();
  assert.equal(updated.answer, 'ok');
  assert.equal(removed.answer, undefined);
  assert.deepEqual([...disk.directories.values()], ['whole'], 'its data is untouched');
  assert.equal(life.violation, undefined);
  life.end('append');
  await settle();
  assert.equal(removed.answer, 'ok');
});

test('of many Removes in one turn one wins, and the others find nothing', async () => {
  const { engine, finish } = await scene();
  await finish(engine.prepare(request('k'), call));
  const answers = Array.from({ length: 4 }, () => engine.remove('k', call));
  const results = await finish(Promise.all(answers));
  assert.deepEqual(
    results.map((result) => (result.ok ? 'ok' : result.rejection.code)),
    ['ok', 'not_found', 'not_found', 'not_found'],
  );
});

test('when the log fails, no call in flight is accepted', async () => {
  const { life, engine, finish } = await scene();
  await finish(engine.prepare(request('k'), call));
  const answers = [
    watch(engine.commit({ key: 'k', name: 'n', labels: {}, parent: '' }, call)),
    watch(engine.stat('n', call)),
    watch(engine.remove('k', call)),
  ];
  await settle();
  life.end('sync');
  await settle();
  life.end('usage');
  await settle();
  life.end('append', false);
  await settle();
  assert.ok(life.hasFailed);
  for (const { answer } of answers) assert.notEqual(answer, 'ok');
});

test('a deletion that failed is recorded, and tried again when its delay has passed', async () => {
  const { life, disk, engine, finish } = await scene();
  await finish(engine.prepare(request('k'), call));
  await finish(engine.remove('k', call));
  await settle();
  life.end('remove', false);
  for (
    let round = 0;
    round < 6 && !life.pending.some(({ name }) => name === 'remove');
    round += 1
  ) {
    await settle();
    life.fireTimers();
    await settle();
    if (life.pending.some(({ name }) => name === 'append')) life.end('append');
    await settle();
  }
  assert.equal(disk.events.at(-1)?.type, 'SnapshotRemoveFailed');
  life.end('remove');
  await settle();
  assert.deepEqual([...disk.directories.keys()], []);
});

test('a Commit joins the one in flight only if it asks for the very same', async () => {
  const one = await scene();
  const { life, engine, finish } = one;
  await commit(one, 'base-key', 'base');
  await finish(engine.prepare(request('k'), call));
  const first = { key: 'k', name: 'n', labels: { a: '1' }, parent: '' };
  const others = [
    { ...first, labels: { a: '2' } },
    { ...first, parent: 'base' },
    { ...first, labels: { a: 'x'.repeat(5000) }, parent: 'nowhere' },
  ];
  const asked = [first, { ...first, labels: { b: '', a: '1' } }, ...others];
  const answers = asked.map((each) => watch(engine.commit(each, call)));
  await settle();
  const refused = Array.from({ length: 100 }, () => watch(engine.commit(first, call)));
  await settle();
  const crowded = refused.filter(({ answer }) => answer === 'resource_exhausted');
  assert.ok(crowded.length >= 36, 'no more than 64 calls wait for one snapshot');
  const removals = [watch(engine.remove('k', call)), watch(engine.remove('base', call))];
  await settle();
  assert.deepEqual(
    removals.map(({ answer }) => answer),
    ['failed_precondition', undefined],
    'containerd goes on with its garbage collection',
  );
  while (life.pending.length > 0) {
    life.complete(0, () => true);
    await settle();
  }
  assert.deepEqual(
    answers.map(({ answer }) => answer),
    ['ok', 'ok', 'already_exists', 'already_exists', 'invalid_argument'],
  );
});

test('a Prepare whose directory fails because its parent goes says that it is gone', async () => {
  const one = await scene();
  await commit(one, 'k', 'base');
  const prepared = watch(one.engine.prepare(request('child', 'base'), call));
  await settle();
  await finishWithout(one.life, 'create', one.engine.remove('base', call));
  one.life.end('create', false);
  await settle();
  assert.equal(prepared.answer, 'not_found');
});

test('a Usage whose snapshot is removed while it is measured says that it is gone', async () => {
  const { life, engine, finish } = await scene();
  await finish(engine.prepare(request('k'), call));
  const gone = watch(engine.usage('k', call));
  await settle();
  await finishWithout(life, 'usage', engine.remove('k', call));
  life.end('usage', false);
  await settle();
  assert.equal(gone.answer, 'not_found');
});

test('a call that is not waited for any longer is told what to do, and goes on', async () => {
  const { life, engine, finish } = await scene();
  await finish(engine.prepare(request('k'), call));
  const short: Call = { ...call, deadlineMs: 10 };
  const commitRequest = { key: 'k', name: 'n', labels: {}, parent: '' };
  const answers = {
    prepare: engine.prepare(request('slow'), short),
    commit: engine.commit(commitRequest, short),
    remove: engine.remove('k', short),
  };
  await settle();
  life.fireTimers();
  const said = async (answer: Promise<Result<unknown>>): Promise<string> => {
    const result = await answer;
    return result.ok ? 'ok' : `${result.rejection.code}: ${result.rejection.message}`;
  };
  assert.match(await said(answers.prepare), /^unavailable: Prepare .* within 10 ms; .*ask Mounts/);
  assert.match(await said(answers.commit), /^unavailable: Commit .*the same call joins it/);
  assert.match(await said(answers.remove), /^unavailable: Remove .*NOT_FOUND then means/);
  assert.ok((await finish(engine.commit(commitRequest, call))).ok, 'a retry joins it');
  const again = await said(finish(engine.commit(commitRequest, call)));
  assert.match(again, /^already_exists/);
  assert.ok((await finish(engine.mounts('slow', call))).ok, 'it was prepared');
});

test('an outcome bears the request that began its operation, over retries and a crash', async () => {
  const { life, disk, engine, finish } = await scene();
  const asked = (requestId: string): Call => {
    const cause = { kind: 'rpc', method: 'Any', requestId, namespace: 'moby' } as const;
    return { cause, deadlineMs: 1e9 };
  };
  await finish(engine.prepare(request('k'), asked('prepare')));
  await finish(engine.commit({ key: 'k', name: 'n', labels: {}, parent: '' }, asked('commit')));
  await finishWithout(life, 'remove', engine.remove('n', asked('remove')));
  life.end('remove', false);
  await settle();
  life.fireTimers();
  await settle();
  life.end('append');
  await settle();
  life.crash(() => false);
  const next = new Life(disk);
  const starting = startEngine(engineOptions(next, false));
  for (let round = 0; round < 20; round += 1) {
    await settle();
    if (next.pending.length > 0) next.complete(0, () => true);
    else next.fireTimers();
  }
  await starting;
  const causes = disk.events
    .filter(({ type }) => /^(IdsReserved|Snapshot(Committed|RemoveFailed|Removed))$/.test(type))
    .map(({ type, cause }) => [type, cause.kind, cause.requestId, cause.namespace]);
  assert.deepEqual(causes, [
    ['IdsReserved', 'rpc', 'prepare', 'moby'],
    ['SnapshotCommitted', 'effect', 'commit', 'moby'],
    ['SnapshotRemoveFailed', 'effect', 'remove', 'moby'],
    ['SnapshotRemoved', 'effect', 'remove', 'moby'],
  ]);
});

test('what ends after the log is closed is not recorded, and the next start does it again', async () => {
  const { life, disk, engine, finish } = await scene();
  for (const key of ['removed', 'committed']) await finish(engine.prepare(request(key), call));
  await finishWithout(life, 'remove', engine.remove('removed', call));
  const committed = watch(
    engine.commit({ key: 'committed', name: 'n', labels: {}, parent: '' }, call),
  );
  const prepared = watch(engine.prepare(request('late'), call));
  await settle();
  const stopped = engine.stop('SIGTERM', 1_000);
  await settle();
  life.fireTimers();
  let isStopped = false;
  void stopped.then(() => (isStopped = true));
  for (let round = 0; round < 20 && !isStopped; round += 1) {
    await settle();
    if (life.pending.some(({ name }) => name === 'append')) life.end('append');
  }
  assert.ok(isStopped);
  assert.equal(disk.events.at(-1)?.type, 'NodeStopped');
  for (const name of ['remove', 'create', 'sync']) life.end(name);
  await settle();
  life.fireTimers();
  await settle();
  assert.equal(life.violation, undefined);
  assert.equal(life.hasFailed, false);
  assert.equal(prepared.answer, 'unavailable');
  assert.equal(committed.answer, undefined, 'nobody is told of what is not durable');
  life.crash(() => false);

  const next = new Life(disk);
  const started = startEngine(engineOptions(next, false));
  for (let round = 0; round < 40; round += 1) {
    await settle();
    if (next.pending.length > 0) next.complete(0, () => true);
    else next.fireTimers();
  }
  const keys = (await started).checkpoint().snapshots.map(({ context }) => context.key);
  assert.deepEqual(keys, ['n']);
  assert.deepEqual([...disk.directories.keys()].length, 1, 'orphans and removed ones are deleted');
});

/** Ends everything but operations of one name until the call is answered; answers its code. */
async function finishWithout(
  life: Life,
  name: string,
  promise: Promise<Result<unknown>>,
): Promise<string | undefined> {
  const seen = watch(promise);
  for (let round = 0; round < 20 && seen.answer === undefined; round += 1) {
    await settle();
    const index = life.pending.findIndex((pending) => pending.name !== name);
    if (index >= 0) life.complete(index, () => true);
  }
  return seen.answer;
}
