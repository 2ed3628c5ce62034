// Which folders count as block layers. The golden layers are overlaybd's own.
import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdtempSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isBlockLayer } from '../../../src/adapters/block-layers/identify.ts';

const golden = fileURLToPath(new URL('../../fixtures/layers/', import.meta.url));

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'varve-layer-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function identified(folder: string): Promise<boolean> {
  const found = await isBlockLayer(folder);
  assert.ok(found.ok, JSON.stringify(found));
  return found.value;
}

const tarHeader = (name: string, size: number, type = '0'): Buffer => {
  const header = Buffer.alloc(512);
  header.write(type, 156);
  header.write(name, 0);
  header.write(size.toString(8).padStart(11, '0'), 124);
  header.write('ustar\0' + '00', 257);
  return header;
};

const lsmt = Buffer.from('4c534d5400010200657e63d29444084ca2d2c8ec4fcfae8a', 'hex');

test('every golden layer that overlaybd wrote is one', async (t) => {
  const layers = readdirSync(golden, { recursive: true, withFileTypes: true }).filter(
    (entry) =>
      entry.isFile() && /^(layer\.)?overlaybd\.commit$|\.lsmt$|\.zfile$|\.tar$/.test(entry.name),
  );
  assert.ok(layers.length > 5, `only ${layers.length} golden layers were found`);
  for (const entry of layers) {
    const folder = folderOf(t);
    copyFileSync(join(entry.parentPath, entry.name), join(folder, 'overlaybd.commit'));
    assert.equal(await identified(folder), true, join(entry.parentPath, entry.name));
  }
});

const contents: readonly [name: string, content: Buffer, isLayer: boolean][] = [
  ['an LSMT layer', Buffer.concat([lsmt, Buffer.alloc(100)]), true],
  ['R-09: one in a tar archive', Buffer.concat([tarHeader('overlaybd.commit', 24), lsmt]), true],
  [
    'one behind a header with its size',
    Buffer.concat([
      ...[tarHeader('pax', 12, 'x'), Buffer.alloc(512, '12 size=24\n')],
      ...[tarHeader('overlaybd.commit', 24), lsmt],
    ]),
    true,
  ],
  [
    'what hides behind records without an end',
    Buffer.concat([tarHeader('pax', 2 ** 32, 'x'), Buffer.alloc(512), tarHeader('a', 24), lsmt]),
    false,
  ],
  ['nothing but tar headers', Buffer.concat(Array(8).fill(tarHeader('a', 0)) as Buffer[]), false],
  ['a text', Buffer.from('overlaybd.commit'), false],
  ['an empty file', Buffer.alloc(0), false],
  ['the magic cut short', lsmt.subarray(0, 23), false],
  ['a tar archive of something else', Buffer.concat([tarHeader('a', 4), Buffer.alloc(512)]), false],
];

for (const [name, content, isLayer] of contents) {
  test(`${name} is ${isLayer ? 'one' : 'none'}`, async (t) => {
    const folder = folderOf(t);
    writeFileSync(join(folder, 'overlaybd.commit'), content);
    assert.equal(await identified(folder), isLayer);
  });
}

test('a file of that name beside others, a folder or a link of that name are none', async (t) => {
  const layer = Buffer.concat([lsmt, Buffer.alloc(100)]);
  const beside = folderOf(t);
  writeFileSync(join(beside, 'overlaybd.commit'), layer);
  writeFileSync(join(beside, 'other'), '');
  assert.equal(await identified(beside), false);
  const inside = folderOf(t);
  mkdirSync(join(inside, 'overlaybd.commit'));
  assert.equal(await identified(inside), false);
  const linked = folderOf(t);
  symlinkSync(join(beside, 'overlaybd.commit'), join(linked, 'overlaybd.commit'));
  assert.equal(await identified(linked), false);
  assert.equal(await identified(folderOf(t)), false);
});

test('a folder that cannot be read is no verdict', async (t) => {
  const missing = await isBlockLayer(join(folderOf(t), 'missing'));
  assert.ok(!missing.ok);
  assert.equal(missing.failure.code, 'ENOENT');
  assert.match(missing.failure.path ?? '', /overlaybd\.commit$/);
});
