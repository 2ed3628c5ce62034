// How far varve-layer is, told to a program on a descriptor of its choice.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { findNativeFile } from '../../src/adapters/native/location.ts';
import { fixture, runTool } from './layer-tool.ts';
import { scratchDirectory } from './scratch.ts';

test('a program is told how far a command is, on the descriptor of its choice', (t) => {
  const directory = scratchDirectory(t);
  const config = fixture('stack3/config.v1.json');
  const report = openSync(join(directory, 'report'), 'w');
  const output = join(directory, 'merged');
  const { status, stderr } = spawnSync(
    findNativeFile('varve-layer'),
    ['merge', '--progress-fd', '3', config, output],
    { stdio: ['ignore', 'ignore', 'pipe', report], encoding: 'utf8' },
  );
  closeSync(report);
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '');
  const lines = readFileSync(join(directory, 'report'), 'utf8').trimEnd().split('\n');
  const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.ok(told.length > 0);
  for (const one of told) assert.deepEqual(Object.keys(one), ['work', 'doneBytes', 'totalBytes']);
  assert.equal(told.at(-1)?.['work'], 'merge');
  assert.equal(told.at(-1)?.['doneBytes'], told.at(-1)?.['totalBytes']);
  const refused = runTool(['merge', '--progress-fd', '9', config, join(directory, 'other')]);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /--progress-fd: descriptor 9 is not open for writing/);
  assert.deepEqual(readdirSync(directory).toSorted(), ['merged', 'report']);
});

test('whoever is told may go away; the command goes on', async (t) => {
  const output = join(scratchDirectory(t), 'merged');
  const child = spawn(
    findNativeFile('varve-layer'),
    ['merge', '--progress-fd', '3', fixture('stack3/config.v1.json'), output],
    { stdio: ['ignore', 'ignore', 'inherit', 'pipe'] },
  );
  child.stdio[3]?.destroy();
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.ok(existsSync(output));
});
