// The references are generated: they must be what the definitions say now.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { exitCodeMeanings, exitCodes } from '../../src/cli/exit-codes.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));

for (const name of ['cli', 'configuration']) {
  test(`docs/${name}.md is current: make docs`, () => {
    const generator = `${checkout}scripts/generate-cli-docs.ts`;
    const text = execFileSync(process.execPath, [generator, '--print', name], { encoding: 'utf8' });
    assert.equal(readFileSync(`${checkout}docs/${name}.md`, 'utf8'), text);
  });
}

test('every exit code has a meaning and is used once', () => {
  assert.deepEqual(Object.keys(exitCodeMeanings), Object.keys(exitCodes));
  assert.equal(new Set(Object.values(exitCodes)).size, Object.keys(exitCodes).length);
});
