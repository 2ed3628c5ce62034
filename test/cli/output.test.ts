// Output for people and for programs: colour, width, shortening.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import type { StateDocument } from '../../src/history/state-document.ts';
import { Output } from '../../src/cli/output.ts';
import { snapshotTable } from '../../src/cli/render/state.ts';
import { shortenMiddle, tableLines } from '../../src/cli/table.ts';

interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

class Stream extends EventEmitter {
  readonly written: string[] = [];
  isFull = false;

  write(text: string | Uint8Array): boolean {
    this.written.push(String(text));
    return !this.isFull;
  }
}

function outputOn(terminal: Terminal, environment: Readonly<Record<string, string>> = {}) {
  const stream = Object.assign(new Stream(), terminal);
  return { stream, output: new Output(stream, { isJson: false, environment }) };
}

test('colour is for terminals, and never with NO_COLOR or a dumb one', () => {
  const red = (terminal: Terminal, environment = {}): string =>
    outputOn(terminal, environment).output.styled('red', 'x');
  assert.equal(red({ isTTY: true }), '\u001b[31mx\u001b[0m');
  assert.equal(red({ isTTY: true }, { NO_COLOR: '1' }), 'x');
  assert.equal(red({ isTTY: true }, { TERM: 'dumb' }), 'x');
  assert.equal(red({}), 'x');
});

test('a long key is shortened in its middle on a terminal, and whole anywhere else', () => {
  const columns = [{ title: 'ID' }, { title: 'KEY', isFlexible: true }];
  const rows = [['#1', `default/1/${'a'.repeat(90)}`]];
  const narrow = tableLines(columns, rows, outputOn({ isTTY: true, columns: 80 }).output);
  assert.equal(narrow[1]?.length, 80);
  assert.match(narrow[1] ?? '', /^#1 +default\/1\/a+…a+$/);
  const whole = tableLines(columns, rows, outputOn({ columns: 80 }).output);
  assert.ok(whole[1]?.endsWith('a'.repeat(90)));
});

test('the table of snapshots fits a terminal of 80 columns, and of 60', () => {
  const snapshot = {
    id: 12345,
    key: `default/1/${'a'.repeat(90)}`,
    kind: 'committed',
    role: 'containerLayer',
    lifecycle: 'committed',
    parent: `default/2/${'b'.repeat(90)}`,
    created: '2026-01-31T09:15:00.000250Z',
    usage: { sizeBytes: 1023 * 1024, inodeCount: 1 },
  };
  const state = { snapshots: [snapshot] } as unknown as StateDocument;
  const linesAt = (columns: number): readonly string[] =>
    snapshotTable(state, outputOn({ isTTY: true, columns }, { NO_COLOR: '1' }).output);
  for (const columns of [60, 72, 80, 97, 120, 200]) {
    for (const line of linesAt(columns)) assert.ok(line.length <= columns, `${columns}: ${line}`);
  }
  assert.match(linesAt(80)[0] ?? '', /^ +ID +KIND +ROLE +SIZE +CREATED +KEY$/);
  assert.match(linesAt(80)[1] ?? '', / 01-31 09:15 +default\/1\/a*…a+$/);
  assert.match(linesAt(200)[0] ?? '', /KEY +PARENT$/);
});

test('shortening keeps both ends and whole characters', () => {
  assert.equal(shortenMiddle('abcdefgh', 5), 'ab…gh');
  assert.equal(shortenMiddle('abc', 3), 'abc');
  assert.equal(shortenMiddle('😀😀😀😀😀', 3), '😀…😀');
});

test('numbers stand on the right, and no line ends in blanks', () => {
  const columns = [{ title: 'N', isRight: true }, { title: 'X' }];
  const lines = tableLines(
    columns,
    [
      ['1', 'long'],
      ['100', ''],
    ],
    outputOn({}).output,
  );
  assert.deepEqual(lines, ['  N  X', '  1  long', '100']);
});

test('writing waits for a slow reader', async () => {
  const { stream, output } = outputOn({});
  stream.isFull = true;
  let isDone = false;
  const writing = output.line('x').then(() => (isDone = true));
  await Promise.resolve();
  assert.equal(isDone, false);
  stream.emit('drain');
  await writing;
  assert.deepEqual(stream.written, ['x\n']);
});

test('a JSON document is one line for programs, indented on a terminal', async () => {
  const program = outputOn({});
  await program.output.json({ a: [1] });
  assert.deepEqual(program.stream.written, ['{"a":[1]}\n']);
  const person = outputOn({ isTTY: true });
  await person.output.json({ a: [1] });
  assert.ok(person.stream.written.join('').split('\n').length > 2);
});
