// The line of progress that commands draw on a terminal.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { progressLine } from '../../src/cli/progress-bar.ts';

const mebibyte = 1 << 20;

test('a line of progress tells share, amount and speed, and fits its terminal', () => {
  const amount = { doneBytes: 3 * mebibyte, totalBytes: 4 * mebibyte, seconds: 2 };
  const text = ' 75.0 %, 3.0 MiB of 4.0 MiB, 1.5 MiB/s';
  const bar = `[${'='.repeat(30)}${' '.repeat(10)}]`;
  assert.equal(progressLine('converting', amount, 200), `converting ${bar}${text}`);
  for (let columns = 0; columns < 100; columns += 1) {
    const line = progressLine('converting', amount, columns);
    assert.ok(line.length <= columns, line);
    assert.ok(`converting${text}`.startsWith(line) || line.endsWith(text), line);
  }
});

test('more than everything is everything, and nothing of nothing, too', () => {
  const end = { doneBytes: 5, totalBytes: 4, seconds: 0 };
  assert.match(progressLine('x', end, 80), /^x \[={40}\] 100\.0 %, 4 B of 4 B$/);
  const none = { doneBytes: 0, totalBytes: 0, seconds: 1 };
  assert.match(progressLine('x', none, 80), /100\.0 %, 0 B of 0 B/);
});
