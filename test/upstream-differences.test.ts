// docs/upstream-differences.md names tests: each is there, under the number that it proves.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const checkout = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(checkout + path, 'utf8');

/** Number and proof of each row. */
const rows = [...read('docs/upstream-differences.md').matchAll(/^\| (R-\w+) .*\| (.+) \|$/gm)];

test('every difference from overlaybd’s snapshotter is proven where its table says', () => {
  assert.ok(rows.length > 30);
  for (const [, number = '', proof = ''] of rows) {
    if (proof === 'later') continue;
    const [file = '', ...names] = [...proof.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
    if (file.startsWith('native/')) {
      for (const name of names) assert.ok(read(file).includes(name), `${file} has ${name}`);
      continue;
    }
    // The first file holds a test of its own name; others prove it together with more.
    const source = read(`test/${file}.test.ts`);
    const titles = [...source.matchAll(/['`]((?:R-\w+(?:, )?)+): /g)].map(([, all = '']) => all);
    const numbers = titles.flatMap((all) => all.split(', '));
    assert.ok(numbers.includes(number), `${file} has a test that begins with ${number}`);
    for (const name of names) assert.ok(read(`test/${name}.test.ts`).length > 0);
  }
});
