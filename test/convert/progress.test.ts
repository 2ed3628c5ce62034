// How far `varve convert` is, as its user sees it: a bar that moves on a terminal, and nothing else
// where there is none.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findNativeFile } from '../../src/adapters/native/location.ts';
import { LayerProgress } from '../../src/convert/progress.ts';
import { program, scratch, varve } from '../cli/varve.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { smallLayout } from './layouts.ts';

const { path: directory, remove } = scratch();
after(remove);
const at = (...names: string[]): string => join(directory, ...names);

test('a layer counts in parts, step by step, once and whole', () => {
  const told: number[] = [];
  const progress = new LayerProgress(1000, (more) => told.push(more));
  const done = (): number => told.reduce((sum, more) => sum + more, 0);
  progress.of('apply')(50, 100);
  assert.ok(done() > 0 && done() < 500, `${done()}`);
  const commit = progress.of('commit');
  commit(0, 7);
  const applied = done();
  commit(7, 7);
  commit(3, 7);
  assert.ok(done() > applied);
  progress.of('digest')(0, 0);
  progress.of('apply')(100, 100);
  assert.equal(done(), 1000);
});

test('on a terminal the bar moves while a layer is committed', async () => {
  // A varve-layer whose commit tells how far it is, and goes on when it may.
  const native = at('native');
  mkdirSync(native);
  const tells = '{\\"work\\":\\"commit\\",\\"doneBytes\\":$n,\\"totalBytes\\":1000}';
  const script = [
    'n=0',
    `while [ "$1" = commit ] && ! [ -e '${at('go')}' ]; do`,
    `n=$((n + 1)); echo "${tells}" >&3; sleep 0.02; done`,
    `exec '${findNativeFile('varve-layer')}' "$@"`,
  ];
  writeFileSync(join(native, 'varve-layer'), `#!/bin/sh\n${script.join('\n')}\n`);
  chmodSync(join(native, 'varve-layer'), 0o755);
  const { path } = smallLayout(at('in'));
  const command = [process.execPath, program, 'convert', path, at('terminal.tar')];
  const quoted = command.map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', quoted, '/dev/null'], {
    env: { ...process.env, VARVE_NATIVE_DIR: native },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let seen = '';
  child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
  const ended = once(child, 'close');
  try {
    await waitUntil('the bar moves', async () => {
      const shares = [...seen.matchAll(/converting .*? ([\d.]+) %/g)].map(([, share]) => share);
      return new Set(shares).size > 2;
    });
  } finally {
    writeFileSync(at('go'), '');
  }
  assert.deepEqual(await ended, [0, null], seen);
  assert.match(seen, /\r\u001b\[K[^\r]*terminal\.tar: 1 image/, 'the bar is gone in the end');
});

test('without a terminal there is no bar', async () => {
  const { path } = smallLayout(at('plain'));
  const { code, stderr } = await varve(['convert', path, at('plain.tar')]);
  assert.equal(stderr, '');
  assert.equal(code, 0);
});
