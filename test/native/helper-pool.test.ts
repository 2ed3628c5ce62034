// The worker pool with the real worker program.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { findNativeFile } from '../../src/adapters/native/location.ts';
import { isRoot, isRunning, runProgram, scratchDirectory, testPool, until } from './scratch.ts';

const deadlineMs = 30_000;
const timeout = 60_000;

test('disk usage is what du counts', { timeout }, async (t) => {
  const directory = scratchDirectory(t);
  mkdirSync(join(directory, 'a/b/c'), { recursive: true });
  writeFileSync(join(directory, 'a/file'), 'x'.repeat(100_000));
  writeFileSync(join(directory, 'a/b/other'), 'x');
  linkSync(join(directory, 'a/file'), join(directory, 'a/b/c/same'));
  symlinkSync('/usr', join(directory, 'a/link'));
  const blocks = runProgram('du', ['--block-size=512', '--summarize', directory]).split('\t')[0];
  const inodes = runProgram('du', ['--inodes', '--summarize', directory]).split('\t')[0];
  const result = await testPool(t).run(
    { operation: 'disk-usage', path: directory },
    { deadlineMs },
  );
  assert.deepEqual(result, {
    ok: true,
    value: { sizeBytes: Number(blocks) * 512, inodeCount: Number(inodes) },
  });
});

test('a tree is removed, and again without complaint', { timeout }, async (t) => {
  const parent = scratchDirectory(t);
  const path = join(parent, '5');
  mkdirSync(join(path, 'fs/below'), { recursive: true });
  writeFileSync(join(path, 'fs/below/file'), '');
  const pool = testPool(t);
  const request = { operation: 'remove-tree', path, parent } as const;
  assert.deepEqual(await pool.run(request, { deadlineMs }), {
    ok: true,
    value: { removedCount: 4 },
  });
  assert.deepEqual(await pool.run(request, { deadlineMs }), {
    ok: true,
    value: { removedCount: 0 },
  });
  assert.deepEqual(readdirSync(parent), []);
});

test('a tree with a mount in it is refused untouched', { timeout, skip: !isRoot }, async (t) => {
  const parent = scratchDirectory(t);
  const path = join(parent, '5');
  const target = join(path, 'mounted');
  mkdirSync(target, { recursive: true });
  mkdirSync(join(parent, 'other'));
  writeFileSync(join(parent, 'other/precious'), '');
  writeFileSync(join(path, 'file'), '');
  const pool = testPool(t);
  const source = join(parent, 'other');
  const bind = { operation: 'mount', type: 'bind', source, target, options: ['rbind'] } as const;
  assert.deepEqual(await pool.run(bind, { deadlineMs }), { ok: true, value: {} });
  const remove = { operation: 'remove-tree', path, parent } as const;
  const refused = await pool.run(remove, { deadlineMs });
  assert.ok(!refused.ok);
  assert.deepEqual([refused.code, refused.path], ['EBUSY', target]);
  assert.deepEqual(readdirSync(path).sort(), ['file', 'mounted']);
  const unmount = { operation: 'unmount', target } as const;
  assert.deepEqual(await pool.run(unmount, { deadlineMs }), {
    ok: true,
    value: { unmounted: true },
  });
  assert.deepEqual(await pool.run(unmount, { deadlineMs }), {
    ok: true,
    value: { unmounted: false },
  });
  assert.ok((await pool.run(remove, { deadlineMs })).ok);
  assert.deepEqual(readdirSync(join(parent, 'other')), ['precious']);
});

test('a failure says what, where and why', { timeout }, async (t) => {
  const path = '/absent/directory';
  const result = await testPool(t).run({ operation: 'syncfs', path }, { deadlineMs });
  assert.deepEqual(result, {
    ok: false,
    errno: 2,
    code: 'ENOENT',
    step: 'syncfs',
    path,
    message: `syncfs ${path}: No such file or directory`,
  });
});

test('a request that cannot be written as UTF-8 is refused and the worker lives on', async (t) => {
  const pool = testPool(t);
  const refused = await pool.run({ operation: 'syncfs', path: '/\ud800' }, { deadlineMs });
  assert.ok(!refused.ok);
  assert.equal(refused.code, 'EINVAL');
  assert.equal(pool.status.idleCount, 1);
  assert.ok(
    (await pool.run({ operation: 'disk-usage', path: '/sys/class/mem' }, { deadlineMs })).ok,
  );
});

test('a worker that passes its deadline is killed and replaced', { timeout }, async (t) => {
  const pool = testPool(t, { workersMax: 1 });
  const slow = pool.run({ operation: 'sleep', milliseconds: 60_000 }, { deadlineMs: 50 });
  const [pid] = pool.status.workerPids;
  assert.ok(pid !== undefined);
  const waiting = pool.run({ operation: 'sleep', milliseconds: 0 }, { deadlineMs });
  const result = await slow;
  assert.ok(!result.ok);
  assert.deepEqual([result.code, result.step, result.abandoned], ['ETIMEDOUT', 'deadline', false]);
  assert.ok(!isRunning(pid));
  assert.ok((await waiting).ok);
  assert.notEqual(pool.status.workerPids[0], pid);
});

test('the deadline counts from the moment a worker takes the request', { timeout }, async (t) => {
  const pool = testPool(t, { workersMax: 1 });
  const results = await Promise.all(
    [200, 200, 200, 200].map((milliseconds) =>
      pool.run({ operation: 'sleep', milliseconds }, { deadlineMs: 600 }),
    ),
  );
  assert.deepEqual(
    results.map(({ ok }) => ok),
    [true, true, true, true],
  );
});

test('a caller that gives up gets its worker killed, or its place in the queue', async (t) => {
  const pool = testPool(t, { workersMax: 1 });
  const controller = new AbortController();
  const options = { deadlineMs, signal: controller.signal };
  const running = pool.run({ operation: 'sleep', milliseconds: 60_000 }, options);
  const queued = pool.run({ operation: 'sleep', milliseconds: 60_000 }, options);
  controller.abort();
  for (const result of [await running, await queued]) {
    assert.ok(!result.ok);
    assert.equal(result.code, 'ECANCELED');
  }
  const late = await pool.run({ operation: 'sleep', milliseconds: 60_000 }, options);
  assert.ok(!late.ok && late.code === 'ECANCELED');
  assert.ok((await pool.run({ operation: 'sleep', milliseconds: 0 }, { deadlineMs })).ok);
});

test('no more workers than allowed, and no longer queue than allowed', { timeout }, async (t) => {
  const pool = testPool(t, { workersMax: 2, queueMax: 3 });
  const request = { operation: 'sleep', milliseconds: 100 } as const;
  const results = Promise.all(Array.from({ length: 7 }, () => pool.run(request, { deadlineMs })));
  assert.equal(pool.status.workerPids.length, 2);
  assert.equal(pool.status.queuedCount, 3);
  const codes = (await results).map((result) => (result.ok ? 'done' : result.code));
  assert.deepEqual(codes, ['done', 'done', 'done', 'done', 'done', 'EAGAIN', 'EAGAIN']);
});

test('a worker that dies fails its request and the next one gets a new worker', async (t) => {
  const pool = testPool(t, { workersMax: 1 });
  const running = pool.run({ operation: 'sleep', milliseconds: 60_000 }, { deadlineMs });
  process.kill(pool.status.workerPids[0] ?? 0, 'SIGKILL');
  const result = await running;
  assert.ok(!result.ok);
  assert.deepEqual([result.code, result.step], ['EPIPE', 'worker']);
  assert.match(result.message, /SIGKILL/);
  assert.ok((await pool.run({ operation: 'sleep', milliseconds: 0 }, { deadlineMs })).ok);
});

test('a missing worker program is a failure with the next step', async (t) => {
  const pool = testPool(t, { program: '/absent/varve-helper' });
  const result = await pool.run({ operation: 'syncfs', path: '/' }, { deadlineMs });
  assert.ok(!result.ok);
  assert.deepEqual([result.code, result.step], ['ENOENT', 'spawn']);
  assert.match(result.message, /make build/);
});

test('a worker that cannot be started is an answer, to who waits already, too', async (t) => {
  const program = join(scratchDirectory(t), 'helper');
  symlinkSync(findNativeFile('varve-helper'), program);
  const pool = testPool(t, { program, workersMax: 1 });
  const running = pool.run({ operation: 'sleep', milliseconds: 60_000 }, { deadlineMs });
  const waiting = pool.run({ operation: 'syncfs', path: '/' }, { deadlineMs });
  // A link to itself is one of the errors that spawn throws, as it does where memory is short.
  rmSync(program);
  symlinkSync(program, program);
  process.kill(pool.status.workerPids[0] ?? 0, 'SIGKILL');
  assert.ok(!(await running).ok);
  for (const result of [
    await waiting,
    await pool.run({ operation: 'syncfs', path: '/' }, { deadlineMs }),
  ]) {
    assert.ok(!result.ok);
    assert.deepEqual([result.code, result.step], ['ELOOP', 'spawn']);
  }
  rmSync(program);
  symlinkSync(findNativeFile('varve-helper'), program);
  assert.ok((await pool.run({ operation: 'sleep', milliseconds: 0 }, { deadlineMs })).ok);
});

test('a worker has three descriptors, no environment, and stands in the root', async (t) => {
  const pool = testPool(t, { workersMax: 1 });
  assert.ok((await pool.run({ operation: 'sleep', milliseconds: 0 }, { deadlineMs })).ok);
  const process = `/proc/${pool.status.workerPids[0]}`;
  assert.deepEqual(readdirSync(`${process}/fd`).sort(), ['0', '1', '2']);
  assert.equal(readlinkSync(`${process}/fd/2`), '/dev/null');
  assert.equal(readFileSync(`${process}/environ`, 'utf8'), '');
  assert.equal(readlinkSync(`${process}/cwd`), '/');
});

test('sleeping is not offered outside of tests', async (t) => {
  const pool = testPool(t, { programArguments: [] });
  const result = await pool.run({ operation: 'sleep', milliseconds: 0 }, { deadlineMs });
  assert.ok(!result.ok);
  assert.deepEqual([result.code, result.step], ['EINVAL', 'request']);
});

test('closing answers what waits, lets a short request end, and leaves no process', async (t) => {
  const pool = testPool(t, { workersMax: 1 });
  const running = pool.run({ operation: 'sleep', milliseconds: 50 }, { deadlineMs });
  const queued = pool.run({ operation: 'sleep', milliseconds: 50 }, { deadlineMs });
  const [pid] = pool.status.workerPids;
  await pool.close();
  assert.ok((await running).ok);
  const result = await queued;
  assert.ok(!result.ok && result.code === 'ECANCELED');
  assert.ok(!isRunning(pid));
  const late = await pool.run({ operation: 'sleep', milliseconds: 50 }, { deadlineMs });
  assert.ok(!late.ok && late.step === 'close');
});

test('the worker ends with its input and ignores signals meant for the service', async (t) => {
  const worker = spawn(findNativeFile('varve-helper'), ['--test'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  t.after(() => worker.kill('SIGKILL'));
  worker.stdin.write('{"id":1,"operation":"sleep","milliseconds":0}\nnonsense\n');
  let text = '';
  worker.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  await until(() => text.split('\n').length === 3);
  assert.match(text, /"id":1.*"ok":true[^\n]*\n.*"id":null.*"ok":false/);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) worker.kill(signal);
  worker.stdin.write('{"id":2,"operation":"sleep","milliseconds":0}\n');
  await until(() => text.includes('"id":2'));
  worker.stdin.end();
  assert.deepEqual(await once(worker, 'exit'), [0, null]);
});

test('idle workers do not keep the process alive, and end with it', { timeout }, async (t) => {
  const poolUrl = new URL('../../src/adapters/helper-pool/pool.ts', import.meta.url).href;
  const program = JSON.stringify(findNativeFile('varve-helper'));
  const script = `
    const { HelperPool } = await import(${JSON.stringify(poolUrl)});
    const pool = new HelperPool({ program: ${program} });
    const result = await pool.run({ operation: 'syncfs', path: '/proc' }, { deadlineMs: 9000 });
    console.log(JSON.stringify([result.ok, pool.status.workerPids[0]]));`;
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  const args = ['--input-type=module', '--eval', script];
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  const [isDone, pid] = JSON.parse(text) as [boolean, number];
  assert.equal(isDone, true);
  await until(() => !isRunning(pid));
});
