// The result file of varve-bd never takes the place of anything else.
import assert from 'node:assert/strict';
import { copyFileSync, linkSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { client, createUpper, list, open, skip, start } from './block-daemon.ts';
import { scratchDirectory } from './scratch.ts';

test("a result file that is one of the image's files is refused", { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const upper = createUpper(directory, 'rw', 'append-only', '1M');
  const lower = join(directory, 'lower');
  copyFileSync(new URL('../fixtures/layers/lsmt-raw/layer.lsmt', import.meta.url), lower);
  symlinkSync('rw.data', join(directory, 'symbolic'));
  linkSync(upper.index, join(directory, 'hard'));
  const config = join(directory, 'config.v1.json');
  const before = [upper.data, upper.index, lower].map((path) => readFileSync(path));
  const cases = [
    ['rw.data', 'upper.data'],
    ['symbolic', 'upper.data'],
    ['rw.index', 'upper.index'],
    ['hard', 'upper.index'],
    ['lower', 'lowers[0]'],
    ['config.v1.json', 'configuration'],
  ] as const;
  for (const [resultFile, key] of cases) {
    const text = JSON.stringify({ lowers: [{ file: lower }], upper, resultFile });
    writeFileSync(config, text);
    await assert.rejects(open(bd, config, 'refused'), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'open-failed');
      assert.ok(error.message.includes(`resultFile: ${join(directory, resultFile)}: is the image`));
      assert.ok(error.message.includes(key), error.message);
      return true;
    });
    assert.equal(readFileSync(config, 'utf8'), text);
  }
  const after = [upper.data, upper.index, lower].map((path) => readFileSync(path));
  assert.deepEqual(after, before);
  assert.deepEqual(await list(bd), []);
});

test('an open that fails writes its reason over no layer', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const upper = createUpper(directory, 'rw', 'sparse', '1M');
  // As overlaybd leaves it.
  writeFileSync(upper.index, '');
  const config = join(directory, 'config.v1.json');
  const before = readFileSync(upper.data);
  for (const resultFile of [upper.data, upper.index]) {
    for (const more of [{ recordTracePath: '/x' }, { lowers: [{ file: '/absent' }] }, {}]) {
      writeFileSync(config, JSON.stringify({ lowers: [], upper, resultFile, ...more }));
      await assert.rejects(open(bd, config, 'refused'), { code: 'open-failed' });
      assert.deepEqual(readFileSync(upper.data), before);
      assert.equal(readFileSync(upper.index, 'utf8'), '');
    }
  }
  assert.equal(daemon.said(/a result file cannot be written/).length, 2);
});

test('a file that holds something else than a result is left alone', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const upper = createUpper(directory, 'rw', 'append-only', '1M');
  const config = join(directory, 'config.v1.json');
  const resultFile = join(directory, 'result');
  writeFileSync(config, JSON.stringify({ lowers: [], upper, resultFile }));
  writeFileSync(resultFile, 'notes of my own');
  await assert.rejects(open(bd, config, 'refused'), {
    code: 'open-failed',
    message: /result: holds something else than the result of an earlier open/,
  });
  assert.equal(readFileSync(resultFile, 'utf8'), 'notes of my own');
  // As the clients of overlaybd make it.
  writeFileSync(resultFile, '');
  await open(bd, config, 'a');
  assert.equal(readFileSync(resultFile, 'utf8'), 'success');
});
