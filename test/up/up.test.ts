// `varve up` with the real services: what dies comes back, and what is told to end leaves nothing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, watch } from 'node:fs';
import { createServer } from 'node:net';
import { constants } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { findListener } from '../../src/cli/supervisor/listener.ts';
import { pauseBefore } from '../../src/cli/supervisor/supervisor.ts';
import { varve } from '../cli/varve.ts';
import { startBlockDaemon } from '../e2e/lab/block-daemon.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { makeScratch } from '../e2e/lab/scratch.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import {
  childrenOf,
  commandOf,
  isBlockDaemonReady,
  makePlace,
  statusOf,
  Up,
  waitUntilUp,
  type Place,
} from './up-process.ts';

const skip = deviceObstacle() ?? false;
const timeout = 120_000;

const scratch = makeScratch('varve-up-');
after(() => scratch.dispose());

const place = (name: string, settings: Readonly<Record<string, unknown>> = {}): Place =>
  makePlace(scratch, name, settings);

/** Whether every thread of a process is stopped: until then one may still take a signal. */
function isStopped(pid: number): boolean {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.every((thread) => / T /.test(statusOf(`${pid}/task/${thread}`)));
}

/** Whether a signal to end waits for a process. */
function isTold(pid: number): boolean {
  const pending = /^ShdPnd:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  const bits = [constants.signals.SIGTERM, constants.signals.SIGINT].map(
    (one) => 1n << BigInt(one - 1),
  );
  return bits.some((bit) => (BigInt(`0x${pending ?? '0'}`) & bit) !== 0n);
}

/** Kills a child by its word; waits until another one is there in its stead. */
async function killAndWait(one: Place, up: Up, word: string): Promise<void> {
  const [pid] = childrenOf(up.process.pid, word);
  assert.ok(pid !== undefined, `${word} runs`);
  process.kill(pid, 'SIGKILL');
  await waitUntil(`another ${word} runs`, async () => {
    const [now] = childrenOf(up.process.pid, word);
    return now !== undefined && now !== pid;
  });
  await waitUntilUp(one, up);
}

test('pauses grow from 200 ms to 10 s', () => {
  const pauses = [1, 2, 3, 6, 7, 1000].map(pauseBefore);
  assert.deepEqual(pauses, [200, 400, 800, 6400, 10_000, 10_000]);
});

describe('varve up', { skip, timeout }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`starts all and ends all on ${signal}, varve serve first`, async () => {
      const one = place(signal);
      const up = new Up(one);
      await waitUntilUp(one, up);
      const [blockDaemon] = childrenOf(up.process.pid, 'varve-bd --socket');
      const [serve] = childrenOf(up.process.pid, ' serve ');
      const [holder] = childrenOf(up.process.pid, 'varve-bd-holder --socket');
      assert.ok(blockDaemon !== undefined && serve !== undefined && holder !== undefined);
      // It takes note of the signal, and does nothing for now.
      process.kill(serve, 'SIGSTOP');
      await waitUntil('varve serve stands still', async () => isStopped(serve));
      const ended = up.end(signal);
      await waitUntil('varve serve is told', async () => isTold(serve));
      assert.deepEqual([isTold(blockDaemon), isTold(holder)], [false, false]);
      assert.ok(findListener(one.blockAddress) !== undefined, 'varve-bd serves until it has ended');
      process.kill(serve, 'SIGCONT');
      assert.equal(await ended, 0);
      assert.deepEqual(
        [blockDaemon, serve, holder].filter((pid) => commandOf(pid) !== ''),
        [],
      );
      assert.deepEqual([one.address, one.blockAddress].filter(existsSync), []);
      assert.deepEqual(up.own, []);
    });
  }

  test('kill -9 of any of them brings it back, and one line says so', async () => {
    const one = place('kill');
    const up = new Up(one);
    await waitUntilUp(one, up);
    await killAndWait(one, up, 'varve-bd-holder --socket');
    await killAndWait(one, up, 'varve-bd --socket');
    await killAndWait(one, up, ' serve ');
    assert.deepEqual(up.own, [
      'varve up: varve-bd-holder was ended by SIGKILL: it is started again in 200 ms',
      'varve up: varve-bd was ended by SIGKILL: it is started again in 200 ms',
      'varve up: varve serve was ended by SIGKILL: it is started again in 200 ms',
    ]);
    assert.equal(await up.end('SIGTERM'), 0);
  });

  test('a signal during a pause ends it', async () => {
    const one = place('pause');
    const up = new Up(one);
    await waitUntilUp(one, up);
    const [pid] = childrenOf(up.process.pid, 'varve-bd --socket');
    process.kill(pid!, 'SIGKILL');
    await waitUntil('the pause began', async () => up.own.length > 0);
    assert.equal(await up.end('SIGTERM'), 0);
    assert.deepEqual(childrenOf(up.process.pid), []);
  });

  test('a configuration that is not valid ends it before anything is started', async () => {
    const one = place('invalid', { rwMode: 'sideways' });
    const { code, stderr } = await varve(one.argv);
    assert.equal(code, 8);
    assert.match(stderr, /"rwMode".*sideways/);
    assert.deepEqual(readdirSync(one.directory), ['config.json']);
  });

  test('what varve serve refuses ends it with the message, and varve-bd with it', async () => {
    const one = place('refused', { root: '/proc/varve' });
    const up = new Up(one);
    await up.ended;
    assert.equal(up.process.exitCode, 1);
    assert.match(up.said.join('\n'), /varve serve cannot start: /);
    assert.deepEqual(up.own, ['varve: varve serve cannot run: it ended with 1']);
    assert.equal(existsSync(one.blockAddress), false);
  });

  test('a varve-bd that cannot run ends it', async () => {
    const one = place('no-bd');
    const up = new Up(one, { more: ['--block-config', join(one.directory, 'absent.json')] });
    await up.ended;
    assert.equal(up.process.exitCode, 1);
    assert.match(up.own.join('\n'), /^varve: varve-bd cannot run: it ended with [12]$/);
    assert.deepEqual(childrenOf(up.process.pid), []);
  });

  test('a socket that is in use is left alone', async () => {
    const one = place('in-use');
    mkdirSync(join(one.directory, 'bd'));
    const daemon = await startBlockDaemon(join(one.directory, 'bd'));
    try {
      const up = new Up(one);
      await up.ended;
      assert.equal(up.process.exitCode, 1);
      const said = up.own.join('\n');
      assert.match(
        said,
        /bd\.sock is in use by process \d+ \(.*varve-bd --socket .*\), which is none /,
      );
      assert.ok(said.includes(`process ${daemon.service.pid} `), said);
      assert.ok(await isBlockDaemonReady(one));
    } finally {
      await daemon.service.stop();
    }
  });

  test('an admin socket that is in use ends it as well', async () => {
    const admin = join(scratch.path, 'admin.sock');
    const server = createServer();
    server.listen(admin);
    await once(server, 'listening');
    try {
      const one = place('admin', { adminAddress: admin });
      const appeared = new Set<string | null>();
      const watching = watch(one.directory, (_event, name) => appeared.add(name));
      const up = new Up(one);
      await up.ended;
      watching.close();
      assert.equal(appeared.has(basename(one.address)), false, 'nobody takes it for ready');
      assert.equal(up.process.exitCode, 1);
      assert.ok(up.said.join('\n').includes(`another server answers on ${admin}`));
      assert.deepEqual(up.own, ['varve: varve serve cannot run: it ended with 1']);
    } finally {
      server.close();
    }
  });

  test('as the first process of a container it takes note of every end', async () => {
    const one = place('first');
    const namespace = [
      'unshare',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      '--propagation=slave',
    ];
    const up = new Up(one, { before: namespace });
    await waitUntil('it runs', async () => childrenOf(up.process.pid, ' up ').length > 0);
    const [first] = childrenOf(up.process.pid, ' up ');
    assert.ok(first !== undefined);
    await waitUntilUp(one, up);
    const services = childrenOf(first);
    assert.equal(services.length, 3);
    const orphan = [
      'nsenter',
      '--pid',
      `--target=${first}`,
      'sh',
      '-c',
      '(sleep 1000 >/dev/null 2>&1 &)',
    ];
    await runCommand(orphan);
    await waitUntil('it has the orphan', async () => childrenOf(first, 'sleep').length === 1);
    process.kill(childrenOf(first, 'sleep')[0]!, 'SIGKILL');
    await waitUntil('only the services are left', async () => childrenOf(first).length === 3);
    assert.deepEqual(childrenOf(first), services);
    process.kill(first, 'SIGTERM');
    await up.ended;
    assert.equal(up.process.exitCode, 0);
  });
});
