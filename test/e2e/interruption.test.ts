// A test with running containers that is told to end, as by Ctrl-C or at a deadline, takes all of
// it down; and if it cannot, what it left is found and removed.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  describeLeftovers,
  findLeftovers,
  removeLeftovers,
  runVariable,
} from '../../scripts/test/leaks.ts';
import { cgroupsNamed } from '../../scripts/test/cgroups.ts';
import { debianContainerd } from './lab/clients.ts';

const checkout = resolve(import.meta.dirname, '../..');
const command = resolve(process.env['VARVE_SERVE'] ?? join(checkout, 'bin/varve'));
const client = await debianContainerd();
const options = { skip: 'missing' in client ? client.missing : false, timeout: 180_000 };

interface Running {
  readonly directory: string;
  readonly runName: string;
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
}

/** Starts a run of its own with two running containers. */
async function runContainers(t: TestContext): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), 'i-'));
  const runName = `${process.pid}-${readdirSync(tmpdir()).length}`;
  t.after(() => {
    removeLeftovers(directory, findLeftovers(directory, runName));
    rmSync(directory, { recursive: true, force: true });
  });
  const program = join(import.meta.dirname, 'lab/running-containers.ts');
  const child = spawn(process.execPath, [program, command], {
    env: { ...process.env, TMPDIR: directory, [runVariable]: runName },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const ended = once(child, 'close');
  const isReady = once(child.stdout, 'data').then(() => true);
  assert.ok(await Promise.race([isReady, ended.then(() => false)]), 'it ended before it was ready');
  return { directory, runName, child, ended };
}

test(
  'a test that is interrupted leaves no container, mount, process or group',
  options,
  async (t) => {
    const { directory, runName, child, ended } = await runContainers(t);
    assert.ok(cgroupsNamed(new RegExp(`^varve-${runName}$`)).length > 0, 'containers run');
    process.kill(-(child.pid ?? 0), 'SIGTERM');
    await ended;
    assert.deepEqual(describeLeftovers(findLeftovers(directory, runName)), []);
  },
);

test('what a test leaves that is killed is found, and removed', options, async (t) => {
  const { directory, runName, child, ended } = await runContainers(t);
  process.kill(-(child.pid ?? 0), 'SIGKILL');
  await ended;
  const found = describeLeftovers(findLeftovers(directory, runName)).join('\n');
  for (const expected of [
    /a process: \d+ sleep 1000/,
    /a control group: /,
    /a mount: /,
    /a socket: /,
    /a file: /,
  ]) {
    assert.match(found, expected);
  }
  removeLeftovers(directory, findLeftovers(directory, runName));
  assert.deepEqual(describeLeftovers(findLeftovers(directory, runName)), []);
});
