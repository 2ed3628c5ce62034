// varve-layer file-system: what it tells of a device by its superblock.
import assert from 'node:assert/strict';
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runTool, tool } from './layer-tool.ts';
import { scratchDirectory } from './scratch.ts';

test('the file system of a device is told by its superblock', (t) => {
  const directory = scratchDirectory(t);
  const [data, index] = [join(directory, 'data'), join(directory, 'index')];
  // Where a sparse layer keeps what is at the beginning of its device.
  const contentOffset = 4096;
  const superblocks = [
    ['ext4', 1024 + 56, '53ef'],
    ['xfs', 0, '58465342'],
    ['erofs', 1024, 'e2e1f5e0'],
    ['f2fs', 1024, '1020f5f2'],
    ['ntfs', 3, '4e54465320202020'],
  ] as const;
  for (const [name, offset, magic] of superblocks) {
    tool('create', '--sparse', data, index, '1M');
    const file = openSync(data, 'r+');
    writeSync(file, Buffer.from(magic, 'hex'), 0, magic.length / 2, contentOffset + offset);
    closeSync(file);
    // As overlaybd has it: what is data shows in the file alone.
    writeFileSync(index, '');
    assert.equal(tool('file-system', data, '--index', index), `${name}\n`);
    const json = JSON.parse(tool('file-system', '--json', data, '--index', index)) as unknown;
    const wasUnmounted = name === 'ext4' ? false : null;
    assert.deepEqual(json, { fileSystem: name, sizeBytes: 1 << 20, wasUnmounted });
    rmSync(data);
    rmSync(index);
  }
  tool('create', data, index, '1M');
  const { status, stderr } = runTool(['file-system', data, '--index', index]);
  assert.equal(status, 1);
  assert.match(stderr, /begins like no file system that is known here/);
});

test('an ext4 tells whether it was unmounted', (t) => {
  const directory = scratchDirectory(t);
  const [data, index] = [join(directory, 'data'), join(directory, 'index')];
  const contentOffset = 4096;
  // The state, at 0x3a, and what it cannot be mounted without, at 0x60: 4 is a journal to replay.
  for (const [state, incompatible, expected] of [
    ['0100', '00000000', true],
    ['0100', 'c2020000', true],
    ['0000', '00000000', false],
    ['0200', '00000000', false],
    ['0100', '04000000', false],
  ] as const) {
    tool('create', '--sparse', data, index, '1M');
    const file = openSync(data, 'r+');
    for (const [at, hex] of [
      [0x38, '53ef'],
      [0x3a, state],
      [0x60, incompatible],
    ] as const) {
      writeSync(file, Buffer.from(hex, 'hex'), 0, hex.length / 2, contentOffset + 1024 + at);
    }
    closeSync(file);
    writeFileSync(index, '');
    const json = tool('file-system', '--json', data, '--index', index);
    assert.equal((JSON.parse(json) as { wasUnmounted: boolean }).wasUnmounted, expected, state);
    for (const path of [data, index]) rmSync(path);
  }
});
