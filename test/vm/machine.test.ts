// The virtual machine of the tests itself: what a command in it says and answers, what a reboot
// leaves, and that nothing is left of a machine.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { waitUntil } from '../e2e/lab/service.ts';
import { runInMachine } from './machine.ts';
import { machineObstacle } from './obstacle.ts';

const skip = (await machineObstacle('6.1')) ?? false;
const limitMs = 240_000;

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'varve-vm-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The machines that a process has started. */
const machinesOf = (parent: number): readonly number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const path = `/proc/${name}/status`;
      const status = existsSync(path) ? readFileSync(path, 'utf8') : '';
      return /^Name:\tqemu-system/m.test(status) && status.includes(`\nPPid:\t${parent}\n`);
    })
    .map(Number);

test(
  'a command says what it says, and its files outlive the loss of power',
  { skip },
  async (t) => {
    const directory = directoryOf(t);
    const disk = { path: join(directory, 'disk'), sizeBytes: 64 << 20 };
    const script = `echo "out $WORD"; echo error >&2; echo kept >/scratch/synced; sync
    echo gone >/etc/varve-vm-was-here; exit 7`;
    const env = { WORD: "it's" };
    const argv = ['bash', '-c', script];
    const first = await runInMachine({ kernel: '6.1', argv, env, disk, limitMs });
    assert.equal(first.status, 7, first.console);
    assert.equal(first.stdout, "out it's\n");
    assert.equal(first.stderr, 'error\n');
    assert.equal(existsSync('/etc/varve-vm-was-here'), false);

    const losing =
      'cat /scratch/synced; echo lost >/scratch/lost; echo b >/proc/sysrq-trigger; sleep 60';
    const second = await runInMachine({
      kernel: '6.1',
      argv: ['bash', '-c', losing],
      disk,
      limitMs,
    });
    assert.deepEqual([second.status, second.isLate], [null, false], second.console);
    assert.equal(second.stdout, 'kept\n');
    assert.deepEqual(readdirSync(directory), ['disk']);
    assert.deepEqual(machinesOf(process.pid), []);
  },
);

test('a machine ends at its limit', { skip }, async () => {
  const argv = ['sleep', 'infinity'];
  const { status, isLate } = await runInMachine({ kernel: '6.1', argv, limitMs: 3_000 });
  assert.deepEqual([status, isLate], [null, true]);
  assert.deepEqual(machinesOf(process.pid), []);
});

test('a machine ends with whoever started it, and leaves no file', { skip }, async (t) => {
  const directory = directoryOf(t);
  const program = join(import.meta.dirname, 'run.ts');
  const child = spawn(process.execPath, [program, '--', 'sleep', 'infinity'], {
    env: { ...process.env, TMPDIR: directory },
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  const pid = child.pid ?? 0;
  await waitUntil('a machine runs', async () => machinesOf(pid).length === 1, 60_000);
  const [machine = 0] = machinesOf(pid);
  child.kill('SIGKILL');
  await exited;
  await waitUntil('the machine is gone', async () => {
    const path = `/proc/${machine}/cmdline`;
    return !existsSync(path) || readFileSync(path).length === 0;
  });
  assert.deepEqual(readdirSync(directory), []);
});
