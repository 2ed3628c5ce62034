// What `varve-layer verify` finds: nothing in golden layers, every defect in damaged ones.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { findNativeFile } from '../../src/adapters/native/location.ts';
import {
  copyFixture,
  expectations,
  fixture,
  inspect,
  readJson,
  runTool,
  tool,
} from './layer-tool.ts';
import { scratchDirectory } from './scratch.ts';

interface Finding {
  readonly severity: 'defect' | 'note';
  readonly within: 'file' | 'content';
  readonly offset: number;
  readonly text: string;
}

interface Verdict {
  readonly layers: readonly { readonly findings: readonly Finding[] }[];
  readonly isSound: boolean;
}

/** Verifies a layer; a crash fails the test. */
function verify(path: string, ...args: readonly string[]): readonly Finding[] {
  const { status, signal, stdout, stderr } = runTool(['verify', path, ...args, '--json']);
  assert.ok(status === 0 || status === 1, `${signal} ${stderr}`);
  const { layers, isSound } = JSON.parse(stdout) as Verdict;
  assert.equal(isSound, status === 0);
  return layers.flatMap(({ findings }) => findings);
}

const defects = (findings: readonly Finding[]): readonly Finding[] =>
  findings.filter(({ severity }) => severity === 'defect');

/** Where in the file the defects are. What cannot be read of the content is said besides. */
const placesOf = (found: readonly Finding[]): readonly number[] =>
  defects(found)
    .filter(({ within }) => within === 'file')
    .map(({ offset }) => offset);

test('golden layers are sound, alone and as stacks', (t) => {
  const directory = scratchDirectory(t);
  for (const { name } of expectations()) {
    const folder = name.split('/')[0] ?? '';
    const isWritable = folder.startsWith('rw-') || folder.startsWith('tcmu-rw');
    const config = isWritable ? copyFixture(folder, join(directory, folder)) : fixture(name);
    const { status, stdout, stderr } = runTool(['verify', config]);
    assert.equal(status, 0, `${name}\n${stdout}${stderr}`);
  }
  for (const name of readdirSync(fixture('zfile-plain'))) {
    if (name.endsWith('.zfile')) tool('verify', fixture(`zfile-plain/${name}`));
  }
});

interface Recipe {
  readonly base: string;
  readonly name: string;
  readonly edits?: readonly { readonly offset: number; readonly hex: string }[];
  readonly truncate?: number;
  readonly append?: number;
  readonly upstream: string;
}

/** A golden layer as a recipe damages it. */
function damage({ base, edits = [], truncate, append = 0 }: Recipe): Buffer {
  const bytes = Buffer.concat([readFileSync(fixture(base)), Buffer.alloc(append)]);
  for (const { offset, hex } of edits) Buffer.from(hex, 'hex').copy(bytes, offset);
  return bytes.subarray(0, truncate ?? bytes.length);
}

/** Damage that no checksum covers and no rule forbids: a byte of data of a layer without sums. */
const invisible = new Set([
  'lsmt-raw/layer.lsmt data-byte',
  'zfile/lz4-4k-nosum-trailer middle-block-byte',
]);

test('each recorded damage is found, at its place', (t) => {
  const recipes = readJson(fixture('bad/cases.json')) as readonly Recipe[];
  assert.ok(recipes.length >= 60);
  const path = join(scratchDirectory(t), 'layer');
  for (const recipe of recipes) {
    const title = `${recipe.base} ${recipe.name}`;
    writeFileSync(path, damage(recipe));
    const found = defects(verify(path));
    if (invisible.has(title)) continue;
    assert.ok(found.length > 0, title);
    const [edit] = recipe.edits ?? [];
    if (edit === undefined) continue;
    // A header is one piece, and so is an index; blocks are found one by one. Where header and
    // trailer differ, either may be the damaged one.
    const isAt = ({ offset, text }: Finding): boolean =>
      (offset > edit.offset - 4096 && offset < edit.offset + 64) ||
      /header, at .* agree/.test(text);
    assert.ok(found.some(isAt), `${title}: ${JSON.stringify(found)}`);
  }
});

test('other commands refuse what upstream refuses, and never crash', (t) => {
  const recipes = readJson(fixture('bad/cases.json')) as readonly Recipe[];
  const path = join(scratchDirectory(t), 'layer');
  for (const recipe of recipes) {
    const title = `${recipe.base} ${recipe.name}`;
    writeFileSync(path, damage(recipe));
    const intact = tool('checksum', fixture(recipe.base));
    const { status, signal, stdout, stderr } = runTool(['checksum', path]);
    assert.equal(signal, null, title);
    if (/fails|crashes/.test(recipe.upstream)) {
      assert.equal(status, 1, title);
      assert.ok(stderr.includes(path), `${title}: ${stderr}`);
    } else if (recipe.upstream === 'same') {
      assert.ok(status === 1 || stdout === intact, title);
    }
    assert.equal(runTool(['inspect', '--extents', path]).signal, null, title);
  }
});

/** Where the blocks of a ZFile without a wrapping begin, and where the last one ends. */
function blockOffsets(path: string): readonly number[] {
  const { zfile } = inspect(path);
  const bytes = readFileSync(path);
  const offsets = [512];
  for (let block = 0; block < zfile.blocks; block += 1) {
    const length = bytes.readUInt32LE(zfile.indexOffset + block * 4);
    offsets.push((offsets.at(-1) ?? 0) + length);
  }
  return offsets;
}

/** Places spread over a file, the same in every run. */
const places = (size: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, number) => Math.floor(((number + 0.5) / count) * size));

for (const name of ['zfile/lz4-4k', 'zfile/zstd-32k', 'zfile/lz4-8k-sum-trailer']) {
  test(`a flipped bit anywhere in ${name} is found where it is`, (t) => {
    const path = join(scratchDirectory(t), 'layer');
    const golden = readFileSync(fixture(name));
    const offsets = blockOffsets(fixture(name));
    const end = offsets.at(-1) ?? 0;
    const ends = [0, 9, 30, 300, end, end + 5, golden.length - 512, golden.length - 1];
    for (const place of [...ends, ...places(golden.length, 24)]) {
      const bytes = Buffer.from(golden);
      bytes[place] = (bytes[place] ?? 0) ^ (1 << (place % 8));
      writeFileSync(path, bytes);
      const found = defects(verify(path));
      assert.ok(found.length > 0, `bit at ${place} of ${name}`);
      if (place < 512 || place >= end) continue;
      const start = offsets.filter((offset) => offset <= place).at(-1);
      assert.deepEqual(placesOf(found), [start], `bit at ${place} of ${name}`);
    }
  });
}

test('damage in a tar archive counts from the beginning of the archive', (t) => {
  const path = join(scratchDirectory(t), 'layer');
  const bytes = readFileSync(fixture('tar/commit-lz4.tar'));
  bytes[1536 + 520] = (bytes[1536 + 520] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  assert.deepEqual(placesOf(verify(path)), [1536 + 512]);
  for (const place of [0, 100, 1030, 1030 + 100]) {
    const damaged = readFileSync(fixture('tar/commit-lz4.tar'));
    damaged[place] = (damaged[place] ?? 0) ^ 1;
    writeFileSync(path, damaged);
    assert.ok(defects(verify(path)).length > 0, `byte ${place}`);
  }
});

test('every damaged block is named, not only the first', (t) => {
  const path = join(scratchDirectory(t), 'layer');
  const bytes = readFileSync(fixture('zfile/lz4-16k'));
  const offsets = blockOffsets(fixture('zfile/lz4-16k'));
  const [first, third] = [offsets[0] ?? 0, offsets[2] ?? 0];
  for (const place of [first, third + 1]) bytes[place] = (bytes[place] ?? 0) ^ 4;
  writeFileSync(path, bytes);
  const found = defects(verify(path));
  assert.deepEqual(placesOf(found), [first, third]);
  assert.match(found[1]?.text ?? '', /block 2 \(content from 32768 on\) is 0x.*, expected 0x/);
});

test('an index that ends before the trailer is a defect, whatever its count lost', (t) => {
  const path = join(scratchDirectory(t), 'layer');
  const golden = readFileSync(fixture('lsmt-raw/layer.lsmt'));
  const at = golden.length - 4096 + 40;
  for (const [byte, bit] of [
    [1, 0],
    [0, 3],
  ] as const) {
    const bytes = Buffer.from(golden);
    bytes[at + byte] = (bytes[at + byte] ?? 0) ^ (1 << bit);
    writeFileSync(path, bytes);
    const [found] = defects(verify(path));
    assert.ok(found !== undefined, `bit ${bit} of byte ${byte}`);
    assert.equal(found.offset, at);
  }
});

test('what readers do not look at is noted where it is not as writers leave it', (t) => {
  const path = join(scratchDirectory(t), 'layer');
  const golden = readFileSync(fixture('lsmt-raw/layer.lsmt'));
  writeFileSync(path, golden);
  assert.deepEqual(verify(path), []);
  const trailer = golden.length - 4096;
  const fields = { 24: /390 bytes/, 28: /no meaning/, 130: /reserved/, 132: /1\.1/, 500: /unused/ };
  for (const [offset, text] of Object.entries(fields)) {
    for (const block of [0, trailer]) {
      const bytes = Buffer.from(golden);
      const place = block + Number(offset);
      bytes[place] = (bytes[place] ?? 0) ^ 0x80;
      writeFileSync(path, bytes);
      const found = verify(path);
      assert.equal(found.length, 1, `${place}`);
      assert.equal(found[0]?.severity, 'note');
      assert.match(found[0].text, text);
    }
  }
  for (const offset of [32, 40]) {
    const bytes = Buffer.from(golden);
    bytes[offset] = 1;
    writeFileSync(path, bytes);
    assert.match(verify(path)[0]?.text ?? '', /the header has an index/);
  }
});

test('what an archive has behind the layer is noted', (t) => {
  const path = join(scratchDirectory(t), 'layer');
  const bytes = readFileSync(fixture('tar/commit-lz4.tar'));
  assert.deepEqual(verify(fixture('tar/commit-lz4.tar')), []);
  writeFileSync(path, Buffer.concat([bytes, Buffer.from('\0more')]));
  const [note] = verify(path);
  assert.equal(note?.severity, 'note');
  assert.equal(note.offset, bytes.length + 1);
  assert.match(note.text, /behind the layer the tar archive goes on/);
});

test('an index that breaks the rules is named entry by entry', (t) => {
  const path = join(scratchDirectory(t), 'layer');
  const golden = readFileSync(fixture('lsmt-raw/layer.lsmt'));
  const { indexOffset } = inspect(fixture('lsmt-raw/layer.lsmt')).trailer;
  const bytes = Buffer.from(golden);
  // The third entry again in place of the second; the fifth points past the data.
  golden.copy(bytes, indexOffset + 16, indexOffset + 32, indexOffset + 48);
  bytes.writeBigUInt64LE(BigInt(golden.length), indexOffset + 4 * 16 + 8);
  writeFileSync(path, bytes);
  assert.deepEqual(
    defects(verify(path)).map(({ offset }) => offset),
    [indexOffset + 32, indexOffset + 64],
  );
});

test('a writable layer is checked with its index', (t) => {
  const directory = scratchDirectory(t);
  copyFixture('rw-append', join(directory, 'rw'));
  const [data, index] = [join(directory, 'rw/data'), join(directory, 'rw/index')];
  assert.deepEqual(defects(verify(data, '--index', index)), []);
  assert.match(verify(data)[0]?.text ?? '', /an append-only layer is nothing without its index/);
  assert.match(verify(index)[0]?.text ?? '', /this is the index of a writable layer/);
  const bytes = readFileSync(index);
  bytes.writeBigUInt64LE(1n << 40n, 4096 + 3 * 16 + 8);
  writeFileSync(index, bytes);
  const { stdout, status } = runTool(['verify', data, '--index', index]);
  assert.equal(status, 1);
  assert.match(stdout, /index: defect at 4144: the index entry for sectors .* outside of the data/);
});

test('a sparse layer is sound with an index that readers take for none', (t) => {
  const directory = scratchDirectory(t);
  copyFixture('rw-sparse', join(directory, 'rw'));
  const [data, index] = [join(directory, 'rw/data'), join(directory, 'rw/index')];
  for (const blank of [0, 100, 4095, 4096, 8192]) {
    writeFileSync(index, Buffer.alloc(blank));
    assert.deepEqual(defects(verify(data, '--index', index)), [], `${blank} bytes`);
  }
  writeFileSync(index, Buffer.alloc(4096, 'x'));
  assert.match(verify(data, '--index', index)[0]?.text ?? '', /there is no header of an index/);
});

test('a writable layer that holds a layer at its end is still a writable one', (t) => {
  const directory = scratchDirectory(t);
  const [data, index] = [join(directory, 'data'), join(directory, 'index')];
  tool('create', data, index, '1');
  const layer = readFileSync(fixture('lsmt-raw/layer.lsmt'));
  const before = readFileSync(data);
  writeFileSync(data, Buffer.concat([before, layer]));
  assert.deepEqual(defects(verify(data, '--index', index)), []);
  assert.equal(inspect(data, '--index', index).kind, 'writable, append-only');
});

test('a configuration is checked as a whole', (t) => {
  const path = join(scratchDirectory(t), 'config.v1.json');
  writeFileSync(
    path,
    JSON.stringify({
      repoBlobUrl: '',
      lowers: [{ file: fixture('stack3/layer0.lz4') }, { file: '/absent/layer' }],
    }),
  );
  const { status, stdout } = runTool(['verify', path]);
  assert.equal(status, 1);
  assert.match(stdout, /layer0\.lz4: sound/);
  assert.match(stdout, /config\.v1\.json: defect: layer 1 is not here: \/absent\/layer/);
});

test('a writable layer that is in use is no defect, but cannot be checked', (t) => {
  const directory = scratchDirectory(t);
  const config = copyFixture('rw-append', directory);
  const [data, index] = [join(directory, 'data'), join(directory, 'index')];
  for (const args of [[config], [data, '--index', index]]) {
    const verifying = [findNativeFile('varve-layer'), 'verify', ...args];
    for (const locked of [data, index]) {
      const { status, stdout } = spawnSync('flock', ['-x', locked, ...verifying], {
        encoding: 'utf8',
      });
      assert.equal(status, 1);
      assert.match(
        stdout,
        /is in use as the writable layer .*; close the device first \(varve bd /,
      );
      assert.doesNotMatch(stdout, /defect/);
    }
    // Others that read do not stand in the way.
    assert.equal(spawnSync('flock', ['-s', data, ...verifying]).status, 0);
  }
});

test('a file that cannot be checked at all takes nothing from the others', (t) => {
  const directory = scratchDirectory(t);
  const layer = fixture('stack3/layer0.lz4');
  const absent = join(directory, 'absent');
  const config = join(directory, 'config.v1.json');
  writeFileSync(config, '{');
  const files = [absent, layer, config, directory];
  const { status, stdout, stderr } = runTool(['verify', ...files]);
  assert.equal(status, 1, stderr);
  assert.match(stdout, /layer0\.lz4: sound/);
  assert.match(stdout, /absent: cannot be opened: No such file/);
  assert.match(stdout, /config\.v1\.json: defect: /);
  const asJson = runTool(['verify', '--json', ...files]);
  assert.equal(asJson.status, 1);
  const { layers, stacks, isSound } = JSON.parse(asJson.stdout) as {
    layers: readonly { path: string; isSound: boolean; error?: string }[];
    stacks: readonly { defects: readonly string[] }[];
    isSound: boolean;
  };
  assert.equal(isSound, false);
  assert.deepEqual(
    layers.map(({ path, isSound: is, error }) => [path, is, error === undefined]),
    [
      [absent, false, false],
      [layer, true, true],
      [directory, false, false],
    ],
  );
  assert.equal(stacks[0]?.defects.length, 1);
});

test('a compressed file whose header is gone is called one', (t) => {
  const path = join(scratchDirectory(t), 'layer');
  writeFileSync(path, readFileSync(fixture('zfile/lz4-4k')).subarray(0, 600));
  assert.match(runTool(['verify', path]).stdout, /\(compressed file\)/);
});
