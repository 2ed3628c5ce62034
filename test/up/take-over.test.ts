// `varve up` that is killed, and the next one: what runs is taken over, with its devices, and what
// cannot be is named.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { startTicksOf, type ServiceRecord } from '../../src/cli/supervisor/records.ts';
import { blockLayers } from '../cli/block-node.ts';
import { varve } from '../cli/varve.ts';
import { startBlockDaemon } from '../e2e/lab/block-daemon.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { makeScratch } from '../e2e/lab/scratch.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import {
  commandOf,
  configure,
  isBlockDaemonReady,
  makePlace,
  processesOf,
  Up,
  waitUntilUp,
  type Place,
} from './up-process.ts';

const skip = deviceObstacle() ?? false;
const scratch = makeScratch('varve-up-');
after(() => scratch.dispose());

const place = (name: string): Place => makePlace(scratch, name);

interface Services {
  readonly holder: number;
  readonly blockDaemon: number;
  readonly serve: number;
}

const words = ['varve-bd-holder --socket', 'varve-bd --socket', ' serve '] as const;

const servicePids = (one: Place): readonly number[] =>
  words.flatMap((word) => processesOf(one, word));

function servicesOf(one: Place): Services {
  const found = words.map((word) => processesOf(one, word));
  assert.deepEqual(
    found.map(({ length }) => length),
    [1, 1, 1],
    'each runs once',
  );
  const [holder = 0, blockDaemon = 0, serve = 0] = found.flat();
  return { holder, blockDaemon, serve };
}

/** Starts a supervisor and kills it; its services go on. */
async function killedUp(one: Place): Promise<Services> {
  const up = new Up(one);
  await waitUntilUp(one, up);
  const services = servicesOf(one);
  await up.end('SIGKILL');
  return services;
}

/** Notes another process as the one that an earlier supervisor started. */
function noteOf({ address }: Place, name: string, pid: number): void {
  const path = `${address}.up.json`;
  const noted = JSON.parse(readFileSync(path, 'utf8')) as { services: ServiceRecord[] };
  const services = noted.services.map((one) =>
    one.name === name ? { ...one, pid, startTicks: startTicksOf(pid) } : one,
  );
  writeFileSync(path, JSON.stringify({ ...noted, services }));
}

const isGone = (pid: number): boolean => commandOf(pid) === '';

/** Mounts a device of two layers that varve-bd has. */
async function mountDevice({ directory, blockAddress }: Place): Promise<string> {
  const lowers = await blockLayers(join(directory, 'layers'));
  const config = join(directory, 'image.json');
  const image = { lowers: lowers.map((file) => ({ file })), resultFile: join(directory, 'result') };
  writeFileSync(config, JSON.stringify(image));
  const open = ['bd', 'open', config, '--read-only', '--json', '--socket', blockAddress];
  const { code, stdout, stderr } = await varve(open);
  assert.equal(code, 0, stderr);
  const target = join(directory, 'mounted');
  mkdirSync(target);
  const { path } = JSON.parse(stdout) as { readonly path: string };
  await runCommand(['mount', '-o', 'ro', path, target]);
  return target;
}

describe('varve up after kill -9 of an earlier one', { skip, timeout: 180_000 }, () => {
  test('takes over all services with their devices, keeps them up and ends them', async () => {
    const one = place('both');
    const first = new Up(one);
    await waitUntilUp(one, first);
    const target = await mountDevice(one);
    const before = servicesOf(one);
    await first.end('SIGKILL');
    assert.equal(readFileSync(join(target, 'top'), 'utf8'), 'top\n');

    const second = new Up(one);
    await waitUntil('it has taken over', async () => second.own.length === 3);
    await waitUntilUp(one, second);
    assert.deepEqual(servicesOf(one), before);
    assert.deepEqual(second.own, [
      `varve up: varve-bd-holder (process ${before.holder}), which an earlier varve up left, is taken over`,
      `varve up: varve-bd (process ${before.blockDaemon}), which an earlier varve up left, is taken over`,
      `varve up: varve serve (process ${before.serve}), which an earlier varve up left, is taken over`,
    ]);
    // Past what the kernel has kept of it.
    await runCommand(['sh', '-c', 'echo 3 >/proc/sys/vm/drop_caches']);
    assert.equal(readFileSync(join(target, 'base'), 'utf8'), 'base\n');
    const old = [before.serve, before.blockDaemon];
    for (const pid of old) process.kill(pid, 'SIGKILL');
    await waitUntil('both are started again', async () => {
      const pids = servicePids(one);
      return pids.length === 3 && !pids.some((pid) => old.includes(pid));
    });
    await waitUntilUp(one, second);
    assert.deepEqual(second.own.slice(3).toSorted(), [
      'varve up: varve serve ended: it is started again in 200 ms',
      'varve up: varve-bd ended: it is started again in 200 ms',
    ]);
    // Devices outlive varve-bd.
    await runCommand(['sh', '-c', 'echo 3 >/proc/sys/vm/drop_caches']);
    assert.equal(readFileSync(join(target, 'base'), 'utf8'), 'base\n');
    await runCommand(['umount', target]);
    assert.equal(await second.end('SIGTERM'), 0);
    assert.deepEqual(processesOf(one), []);
    assert.deepEqual([one.address, one.blockAddress].filter(existsSync), []);
  });

  test('ends in order what it has taken over, also after it was killed twice', async () => {
    const one = place('twice');
    const before = await killedUp(one);
    const second = new Up(one);
    await waitUntil('it has taken over', async () => second.own.length === 3);
    await second.end('SIGKILL');
    const third = new Up(one);
    await waitUntil('it has taken over', async () => third.own.length === 3);
    assert.deepEqual(servicesOf(one), before);
    assert.equal(await third.end('SIGTERM'), 0);
    assert.deepEqual(processesOf(one), []);
    assert.deepEqual([one.address, one.blockAddress].filter(existsSync), []);
    const fourth = new Up(one);
    await waitUntilUp(one, fourth);
    assert.deepEqual(fourth.own, []);
    assert.equal(await fourth.end('SIGTERM'), 0);
  });

  test('starts anew what runs by other settings, and takes no device away', async () => {
    const one = place('settings');
    const first = new Up(one);
    await waitUntilUp(one, first);
    const target = await mountDevice(one);
    const before = servicesOf(one);
    await first.end('SIGKILL');
    configure(one, { lingerMs: 1234 });
    const up = new Up(one, { more: ['--log-level', 'debug'] });
    await waitUntil('others run', async () => {
      const pids = servicePids(one);
      const old = [before.serve, before.blockDaemon];
      return pids.length === 3 && !pids.some((pid) => old.includes(pid));
    });
    await waitUntilUp(one, up);
    assert.equal(servicesOf(one).holder, before.holder);
    const [holder = '', ...others] = up.own;
    assert.match(holder, /varve-bd-holder .* is taken over$/);
    assert.deepEqual(
      others.map((line) => / runs by other settings: it is started again$/.test(line)),
      [true, true],
    );
    await runCommand(['sh', '-c', 'echo 3 >/proc/sys/vm/drop_caches']);
    assert.equal(readFileSync(join(target, 'base'), 'utf8'), 'base\n');
    await runCommand(['umount', target]);
    const { stdout } = await varve(['status', '--json', '--address', one.address]);
    assert.doesNotMatch(stdout, new RegExp(`"pid": ?${before.serve}\\b`));
    assert.equal(await up.end('SIGTERM'), 0);
    assert.deepEqual(processesOf(one), []);
  });

  test('a varve-bd without a holder goes on as it runs', async () => {
    const one = place('unheld');
    const before = await killedUp(one);
    for (const pid of [before.holder, before.blockDaemon]) process.kill(pid, 'SIGKILL');
    await waitUntil('they are gone', async () => servicePids(one).length === 1);
    const { service } = await startBlockDaemon(dirname(one.blockAddress));
    const target = await mountDevice(one);
    noteOf(one, 'varve-bd', service.pid);
    try {
      const up = new Up(one, { more: ['--log-level', 'debug'] });
      await waitUntil('it has taken over', async () => up.own.length === 2);
      await waitUntilUp(one, up);
      assert.match(up.own[0] ?? '', /varve-bd .* taken over as it runs; the settings of now count/);
      assert.equal(servicesOf(one).blockDaemon, service.pid);
      assert.equal(readFileSync(join(target, 'base'), 'utf8'), 'base\n');
      await runCommand(['umount', target]);
      assert.equal(await up.end('SIGTERM'), 0);
    } finally {
      await service.stop();
    }
  });

  test('ends while a device is mounted, and leaves no process', async () => {
    const one = place('mounted');
    const up = new Up(one);
    await waitUntilUp(one, up);
    const target = await mountDevice(one);
    assert.equal(await up.end('SIGTERM'), 0, up.said.join('\n'));
    assert.deepEqual(processesOf(one), []);
    assert.match(up.said.join('\n'), /in use: its users get errors/);
    await runCommand(['umount', target]);
  });

  test('starts what has ended since, and takes over the rest', async () => {
    const one = place('half');
    const before = await killedUp(one);
    process.kill(before.serve, 'SIGKILL');
    const up = new Up(one);
    await waitUntilUp(one, up);
    assert.equal(up.own.length, 2);
    const now = servicesOf(one);
    assert.equal(now.blockDaemon, before.blockDaemon);
    assert.notEqual(now.serve, before.serve);
    assert.equal(await up.end('SIGTERM'), 0);
  });

  test('when varve serve cannot run, what serves devices goes on', async () => {
    const one = place('refused');
    const first = new Up(one);
    await waitUntilUp(one, first);
    const target = await mountDevice(one);
    const before = servicesOf(one);
    await first.end('SIGKILL');
    // Whoever waits for the root's lock has it once the earlier varve serve has ended.
    const lock = join(one.directory, 'root', 'lock');
    const locking = spawn('flock', ['--no-fork', lock, 'sleep', '1000']);
    const released = once(locking, 'exit');
    let blockDaemon: number | undefined;
    try {
      // By other settings varve-bd is another process by then.
      const up = new Up(one, { more: ['--log-level', 'debug'] });
      await up.ended;
      assert.equal(up.process.exitCode, 1);
      assert.match(up.own.at(-1) ?? '', /^varve: varve serve cannot run: it ended with 1$/);
      [blockDaemon] = processesOf(one, 'varve-bd --socket');
      assert.notEqual(blockDaemon, before.blockDaemon);
      assert.deepEqual(servicePids(one), [before.holder, blockDaemon]);
      assert.ok(await isBlockDaemonReady(one));
      await runCommand(['sh', '-c', 'echo 3 >/proc/sys/vm/drop_caches']);
      assert.equal(readFileSync(join(target, 'base'), 'utf8'), 'base\n');
    } finally {
      locking.kill('SIGKILL');
      await released;
    }
    const next = new Up(one, { more: ['--log-level', 'debug'] });
    await waitUntilUp(one, next);
    assert.equal(servicesOf(one).blockDaemon, blockDaemon);
    await runCommand(['umount', target]);
    assert.equal(await next.end('SIGTERM'), 0);
    assert.deepEqual(processesOf(one), []);
  });

  test('names what runs for another place, and leaves it alone', async () => {
    const one = place('moved');
    const before = await killedUp(one);
    configure(one, { blockDaemonAddress: join(one.directory, 'other.sock') });
    const up = new Up(one);
    await up.ended;
    assert.equal(up.process.exitCode, 1);
    const [said = ''] = up.own;
    assert.ok(said.includes(`varve-bd-holder (process ${before.holder})`), said);
    assert.ok(said.includes(`for ${one.blockAddress}.holder, and now it is to be for`), said);
    assert.deepEqual(servicesOf(one), before);
    configure(one, {});
    const next = new Up(one);
    await waitUntil('it has taken over', async () => next.own.length === 3);
    assert.equal(await next.end('SIGTERM'), 0);
  });

  test('never takes another process for one of its own that has the same id now', async () => {
    const one = place('reused');
    await killedUp(one);
    const path = `${one.address}.up.json`;
    const noted = JSON.parse(readFileSync(path, 'utf8')) as { services: { pid: number }[] };
    for (const pid of processesOf(one)) process.kill(pid, 'SIGKILL');
    await waitUntil('both are gone', async () => processesOf(one).length === 0);
    const stranger = spawn('sleep', ['1000']);
    const ended = once(stranger, 'exit');
    try {
      const services = noted.services.map((service) => ({ ...service, pid: stranger.pid }));
      writeFileSync(path, JSON.stringify({ ...noted, services }));
      const up = new Up(one);
      await waitUntilUp(one, up);
      assert.deepEqual(up.own, []);
      assert.equal(await up.end('SIGTERM'), 0);
      assert.ok(stranger.pid !== undefined && !isGone(stranger.pid));
    } finally {
      stranger.kill('SIGKILL');
      await ended;
    }
  });

  test('a file of notes that is not whole is none', async () => {
    const one = place('torn');
    const before = await killedUp(one);
    writeFileSync(`${one.address}.up.json`, '{"version":1,"boot":"');
    const up = new Up(one);
    await up.ended;
    assert.equal(up.process.exitCode, 1);
    const [said = ''] = up.own;
    assert.ok(
      said.includes(`${one.blockAddress}.holder is in use by process ${before.holder} (`),
      said,
    );
    assert.deepEqual(servicesOf(one), before);
  });
});

test('a second varve up is refused while the first one lives', { skip }, async () => {
  const one = place('second');
  const first = new Up(one);
  await waitUntilUp(one, first);
  const services = servicesOf(one);
  const { code, stderr } = await varve(one.argv);
  assert.equal(code, 1);
  const who = `another varve up (process ${first.process.pid}) runs the services of ${one.address}`;
  assert.ok(stderr.includes(who), stderr);
  assert.deepEqual(servicesOf(one), services);
  assert.equal(await first.end('SIGTERM'), 0);
});
