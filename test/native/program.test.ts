// Programs of others with a deadline: also one that a kill does not end holds nobody up.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runProgram } from '../../src/adapters/helper-pool/program.ts';
import { frozenFileSystem } from './frozen-file-system.ts';
import { isRoot } from './scratch.ts';

test('a program is answered with what it printed, or with why it failed', async () => {
  const done = await runProgram('sh', ['-c', 'echo said'], 20_000);
  assert.deepEqual([done.ok, done.stdout], [true, 'said\n']);
  const failed = await runProgram('sh', ['-c', 'echo reason >&2; exit 3'], 20_000);
  assert.deepEqual([failed.ok, failed.stderr, failed.isLate], [false, 'reason\n', false]);
  const missing = await runProgram('/no/such/program', [], 20_000);
  assert.deepEqual([missing.ok, missing.startCode], [false, 'ENOENT']);
});

test('a program that takes too long is ended, and said to be late', async () => {
  const ended = await runProgram('sleep', ['600'], 20);
  assert.deepEqual([ended.ok, ended.isLate, ended.reason], [false, true, 'not done within 20 ms']);
});

test(
  'a program that even a kill does not end is left behind',
  { skip: isRoot ? false : 'needs root' },
  async (t) => {
    const frozen = frozenFileSystem(t);
    if (frozen === undefined) return;
    const running = runProgram('mkdir', [join(frozen.path, 'new')], 20);
    const ended = await running;
    frozen.thaw();
    assert.deepEqual([ended.ok, ended.isLate], [false, true]);
    assert.match(ended.reason, /not done within 20 ms, and process \d+ cannot be stopped/);
  },
);
