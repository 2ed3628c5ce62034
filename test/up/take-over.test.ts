// `varve up` that is killed, and the next one: what runs is taken over, with its devices, and what
// cannot be is named.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { blockLayers } from '../cli/block-node.ts';
import { varve } from '../cli/varve.ts';
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
  readonly blockDaemon: number;
  readonly serve: number;
}

const servicePids = (one: Place): readonly number[] => [
  ...processesOf(one, 'varve-bd --socket'),
  ...processesOf(one, ' serve '),
];

function servicesOf(one: Place): Services {
  const [blockDaemon, ...others] = processesOf(one, 'varve-bd --socket');
  const [serve, ...more] = processesOf(one, ' serve ');
  assert.ok(blockDaemon !== undefined && serve !== undefined, 'both run');
  assert.deepEqual([...others, ...more], []);
  return { blockDaemon, serve };
}

/** Starts a supervisor and kills it; its services go on. */
async function killedUp(one: Place): Promise<Services> {
  const up = new Up(one);
  await waitUntilUp(one, up);
  const services = servicesOf(one);
  await up.end('SIGKILL');
  return services;
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
  test('takes over both services with their devices, keeps them up and ends them', async () => {
    const one = place('both');
    const first = new Up(one);
    await waitUntilUp(one, first);
    const target = await mountDevice(one);
    const before = servicesOf(one);
    await first.end('SIGKILL');
    assert.equal(readFileSync(join(target, 'top'), 'utf8'), 'top\n');

    const second = new Up(one);
    await waitUntil('it has taken over', async () => second.own.length === 2);
    await waitUntilUp(one, second);
    assert.deepEqual(servicesOf(one), before);
    assert.deepEqual(second.own, [
      `varve up: varve-bd (process ${before.blockDaemon}), which an earlier varve up left, is taken over`,
      `varve up: varve serve (process ${before.serve}), which an earlier varve up left, is taken over`,
    ]);
    // Past what the kernel has kept of it.
    await runCommand(['sh', '-c', 'echo 3 >/proc/sys/vm/drop_caches']);
    assert.equal(readFileSync(join(target, 'base'), 'utf8'), 'base\n');
    await runCommand(['umount', target]);

    for (const pid of [before.serve, before.blockDaemon]) process.kill(pid, 'SIGKILL');
    await waitUntil('both are started again', async () => {
      const pids = servicePids(one);
      return (
        pids.length === 2 && !pids.includes(before.serve) && !pids.includes(before.blockDaemon)
      );
    });
    await waitUntilUp(one, second);
    assert.deepEqual(second.own.slice(2).toSorted(), [
      'varve up: varve serve ended: it is started again in 200 ms',
      'varve up: varve-bd ended: it is started again in 200 ms',
    ]);
    assert.equal(await second.end('SIGTERM'), 0);
    assert.deepEqual(processesOf(one), []);
    assert.deepEqual([one.address, one.blockAddress].filter(existsSync), []);
  });

  test('ends in order what it has taken over, also after it was killed twice', async () => {
    const one = place('twice');
    const before = await killedUp(one);
    const second = new Up(one);
    await waitUntil('it has taken over', async () => second.own.length === 2);
    await second.end('SIGKILL');
    const third = new Up(one);
    await waitUntil('it has taken over', async () => third.own.length === 2);
    assert.deepEqual(servicesOf(one), before);
    assert.equal(await third.end('SIGTERM'), 0);
    assert.deepEqual(processesOf(one), []);
    assert.deepEqual([one.address, one.blockAddress].filter(existsSync), []);
    const fourth = new Up(one);
    await waitUntilUp(one, fourth);
    assert.deepEqual(fourth.own, []);
    assert.equal(await fourth.end('SIGTERM'), 0);
  });

  test('starts varve serve anew by other settings, and never varve-bd', async () => {
    const one = place('settings');
    const before = await killedUp(one);
    configure(one, { lingerMs: 1234 });
    const up = new Up(one, { more: ['--log-level', 'debug'] });
    await waitUntil('it has taken over', async () => up.own.length === 2);
    await waitUntil('another varve serve runs', async () => {
      const [serve] = processesOf(one, ' serve ');
      return serve !== undefined && serve !== before.serve;
    });
    await waitUntilUp(one, up);
    assert.equal(servicesOf(one).blockDaemon, before.blockDaemon);
    assert.match(
      up.own[0] ?? '',
      /varve-bd .* is taken over as it runs; the settings of now count/,
    );
    assert.match(up.own[1] ?? '', /varve serve .* runs by other settings: it is started again$/);
    const { stdout } = await varve(['status', '--json', '--address', one.address]);
    assert.doesNotMatch(stdout, new RegExp(`"pid": ?${before.serve}\\b`));
    assert.equal(await up.end('SIGTERM'), 0);
  });

  test('starts what has ended since, and takes over the rest', async () => {
    const one = place('half');
    const before = await killedUp(one);
    process.kill(before.serve, 'SIGKILL');
    const up = new Up(one);
    await waitUntilUp(one, up);
    assert.equal(up.own.length, 1);
    const now = servicesOf(one);
    assert.equal(now.blockDaemon, before.blockDaemon);
    assert.notEqual(now.serve, before.serve);
    assert.equal(await up.end('SIGTERM'), 0);
  });

  test('when varve serve cannot run, varve-bd goes on as it did', async () => {
    const one = place('refused');
    const before = await killedUp(one);
    // Whoever waits for the root's lock has it once the earlier varve serve has ended.
    const lock = join(one.directory, 'root', 'lock');
    const holder = spawn('flock', ['--no-fork', lock, 'sleep', '1000']);
    const released = once(holder, 'exit');
    try {
      const up = new Up(one, { more: ['--log-level', 'debug'] });
      await up.ended;
      assert.equal(up.process.exitCode, 1);
      assert.match(up.own.at(-1) ?? '', /^varve: varve serve cannot run: it ended with 1$/);
      assert.deepEqual(servicePids(one), [before.blockDaemon]);
      assert.ok(await isBlockDaemonReady(one));
    } finally {
      holder.kill('SIGKILL');
      await released;
    }
    const next = new Up(one);
    await waitUntilUp(one, next);
    assert.equal(servicesOf(one).blockDaemon, before.blockDaemon);
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
    assert.ok(said.includes(`varve-bd (process ${before.blockDaemon})`), said);
    assert.ok(said.includes(`for ${one.blockAddress}, and now it is to be for`), said);
    assert.deepEqual(servicesOf(one), before);
    configure(one, {});
    const next = new Up(one);
    await waitUntil('it has taken over', async () => next.own.length === 2);
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
      said.includes(`${one.blockAddress} is in use by process ${before.blockDaemon} (`),
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
