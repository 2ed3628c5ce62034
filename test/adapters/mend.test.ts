// What is made of what e2fsck says: a stand-in for it says each of what it can.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { mendFileSystem } from '../../src/adapters/block-devices/mend.ts';

interface Told {
  readonly code: string;
  readonly asked: readonly string[];
  readonly warnings: readonly string[];
}

/** How it ends if e2fsck answers `-p`, `-f -n` and `-y` with these lines of shell. */
async function mended(
  t: TestContext,
  answers: Readonly<Record<string, string>>,
  { fileSystem = 'ext4', deadlineMs = 10_000 } = {},
): Promise<Told> {
  const directory = mkdtempSync(join(tmpdir(), 'varve-mend-'));
  const before = process.env['PATH'];
  t.after(() => {
    process.env['PATH'] = before;
    rmSync(directory, { recursive: true, force: true });
  });
  const log = join(directory, 'asked');
  writeFileSync(log, '');
  const cases = Object.entries(answers).map(([how, answer]) => `"${how} /dev/x") ${answer} ;;`);
  const lines = ['#!/bin/sh', `echo "$*" >>${log}`, 'case "$*" in', ...cases, 'esac', 'exit 99'];
  if (Object.keys(answers).length > 0) {
    writeFileSync(join(directory, 'e2fsck'), lines.join('\n'), { mode: 0o700 });
  }
  process.env['PATH'] = Object.keys(answers).length > 0 ? `${directory}:${before}` : directory;
  const warnings: string[] = [];
  const logger = { warn: (_: object, message: string) => void warnings.push(message) };
  const result = await mendFileSystem(1, '/dev/x', { fileSystem }, { deadlineMs, logger });
  process.env['PATH'] = before;
  const asked = readFileSync(log, 'utf8').trim().split('\n').filter(Boolean);
  const code = result.ok ? 'done' : `${result.failure.code} ${result.failure.message}`;
  return { code, asked: asked.map((one) => one.replace(' /dev/x', '')), warnings };
}

test('one that was unmounted is looked at once, and nothing is said', async (t) => {
  const told = await mended(t, { '-p': 'echo clean; exit 0' });
  assert.deepEqual(told, { code: 'done', asked: ['-p'], warnings: [] });
});

test('what it mends by itself is told', async (t) => {
  const told = await mended(t, { '-p': 'echo fixed; exit 1' });
  assert.equal(told.code, 'done');
  assert.match(told.warnings[0] ?? '', /it is mended/);
});

test('what it asks for is answered, if all can be read', async (t) => {
  const told = await mended(t, { '-p': 'exit 4', '-f -n': 'exit 4', '-y': 'exit 1' });
  assert.deepEqual([told.code, told.asked], ['done', ['-p', '-f -n', '-y']]);
  const unreadable = 'echo "Error reading block 33 (Input/output error)."; echo more; exit 4';
  const refused = await mended(t, { '-p': 'exit 4', '-f -n': unreadable });
  assert.deepEqual(refused.asked, ['-p', '-f -n'], 'what cannot be read is not written anew');
  assert.match(refused.code, /^EIO e2fsck cannot mend the file system: Error reading block 33/);
});

test('what it cannot mend is refused, with the last that it said', async (t) => {
  const banner = 'echo "e2fsck 1.47.0" >&2';
  const last = `${banner}; echo first; echo "still has errors"; exit 4`;
  const told = await mended(t, { '-p': 'exit 4', '-f -n': 'exit 4', '-y': last });
  assert.equal(told.code, 'EUCLEAN e2fsck cannot mend the file system: still has errors');
});

test('one that is ended in the middle has not mended anything', async (t) => {
  const killed = await mended(t, { '-p': 'kill -9 $$' });
  assert.match(killed.code, /^EIO e2fsck ended in the middle/);
  const late = await mended(t, { '-p': 'exec sleep 60' }, { deadlineMs: 100 });
  assert.match(late.code, /^ETIMEDOUT e2fsck not done within 100 ms/);
});

test('where it cannot look the file system stays as it is, and the log says so', async (t) => {
  const told = await mended(t, { '-p': 'echo "/dev/x is in use."; exit 8' });
  assert.deepEqual([told.code, told.asked], ['done', ['-p']]);
  assert.match(told.warnings[0] ?? '', /cannot look/);
  const missing = await mended(t, {});
  assert.equal(missing.code, 'done');
  assert.match(missing.warnings[0] ?? '', /cannot be run \(ENOENT\)/);
});

test('file systems with a log of their own are left to themselves', async (t) => {
  const told = await mended(t, { '-p': 'exit 4' }, { fileSystem: 'xfs' });
  assert.deepEqual(told, { code: 'done', asked: [], warnings: [] });
});
