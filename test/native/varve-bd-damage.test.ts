// A flipped bit anywhere in a compressed layer, seen through its device: an I/O error for the block
// that it is in, told in the log with both sums and counted, or no device at all; never wrong data.
// And layers without checksums that the disk does not give back.
// VARVE_LONG=1 flips more of them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { BlockDaemonError } from '../../src/adapters/block-daemon/client.ts';
import type { DeviceStats } from '../../src/cli/block-devices/documents.ts';
import {
  client,
  close,
  commitFormats,
  createUpper,
  open,
  skip,
  start,
  type Opened,
} from './block-daemon.ts';
import { writeConfig } from './layer-tool.ts';
import { runProgram, scratchDirectory, until } from './scratch.ts';

/** How many bytes lie between two flipped ones; a block of the layers has about half of 4096. */
const strideBytes = process.env['VARVE_LONG'] === '1' ? 97 : 1511;
const blockBytes = 4096;
const blocks = 16;

/** The blocks of a device that cannot be read; all others must be as in `content`. */
function unreadable(path: string, content: Buffer): readonly number[] {
  // Without reading ahead, each block is a request of its own.
  runProgram('blockdev', ['--setra', '0', path]);
  const file = openSync(path, 'r');
  const found: number[] = [];
  try {
    for (let block = 0; block < blocks; block += 1) {
      const bytes = Buffer.alloc(blockBytes);
      const offset = block * blockBytes;
      try {
        readSync(file, bytes, 0, blockBytes, offset);
      } catch (problem) {
        assert.equal((problem as NodeJS.ErrnoException).code, 'EIO');
        found.push(block);
        continue;
      }
      const wanted = content.subarray(offset, offset + blockBytes);
      assert.ok(bytes.equals(wanted), `wrong data in block ${block}`);
    }
  } finally {
    closeSync(file);
  }
  return found;
}

for (const format of commitFormats.filter(({ algorithm }) => algorithm !== 'none')) {
  test(`a flipped bit in a layer of ${format.name} is never wrong data`, { skip }, async (t) => {
    const directory = scratchDirectory(t);
    const daemon = await start(t, join(directory, 'run/bd.sock'));
    const bd = await client(t, daemon);
    const content = Buffer.alloc(blocks * blockBytes);
    for (let half = 0; half < blocks; half += 1) {
      randomBytes(blockBytes / 2).copy(content, half * blockBytes);
    }
    const upper = createUpper(directory, 'rw', 'append-only', `${content.length / 1024}K`);
    const made = await open(bd, writeConfig(join(directory, 'rw.json'), { upper }), 'made');
    const file = openSync(made.path, 'r+');
    writeSync(file, content);
    closeSync(file);
    const sound = join(directory, 'sound');
    const { algorithm, tar } = format;
    await bd.request('commit', { device: 'made', output: sound, algorithm, tar });
    await close(bd, 'made');
    const bytes = readFileSync(sound);

    const lost = new Set<number>();
    const layer = join(directory, 'layer');
    const config = writeConfig(join(directory, 'flipped.json'), { lowers: [{ file: layer }] });
    for (let offset = 0, number = 0; offset < bytes.length; offset += strideBytes, number += 1) {
      const flipped = Buffer.from(bytes);
      flipped[offset]! ^= 1 << (number % 8);
      writeFileSync(layer, flipped);
      const device = `flipped-${number}`;
      let opened: Opened;
      try {
        opened = await open(bd, config, device);
      } catch (problem) {
        assert.ok(problem instanceof BlockDaemonError, String(problem));
        assert.equal(problem.code, 'open-failed');
        assert.match(problem.message, new RegExp(`${layer}( \\(member at \\d+\\))?: `));
        continue;
      }
      const found = unreadable(opened.path, content);
      const stats = await bd.request<{ devices: DeviceStats[] }>('stats', { device });
      const { damageCount, operations } = stats.devices[0]!;
      assert.equal(damageCount > 0, found.length > 0, `byte ${offset}`);
      assert.equal(operations['read']!.errorCount > 0, found.length > 0, `byte ${offset}`);
      // The blocks of the ZFile are not in step with those of the device.
      assert.ok(found.length <= 2, `byte ${offset}: ${found.join(', ')}`);
      if (found.length > 0) {
        const told = () =>
          daemon.said(/a layer is damaged/).filter((line) => line['device'] === device);
        await until(() => told().length > 0);
        const [line] = told();
        const place = /^(.*?)(?: \(member at (\d+)\))?$/.exec(String(line?.['layer']));
        assert.equal(place?.[1], layer);
        const at = Number(place[2] ?? 0) + Number(line?.['offset']);
        assert.ok(at <= offset && offset < at + 2 * blockBytes, `${at} tells of ${offset}`);
        assert.equal(typeof line?.['expectedSum'], 'number');
        assert.notEqual(line?.['expectedSum'], line?.['actualSum']);
      }
      found.forEach((block) => lost.add(block));
      assert.equal((await close(bd, device)).gone, true);
    }
    assert.equal(lost.size, blocks, 'each block was hit');
  });
}

test('a layer without checksums that became shorter is named', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const upper = createUpper(directory, 'rw', 'append-only', `${blocks * 4}K`);
  const made = await open(bd, writeConfig(join(directory, 'rw.json'), { upper }), 'made');
  const content = randomBytes(blocks * blockBytes);
  const file = openSync(made.path, 'r+');
  writeSync(file, content);
  closeSync(file);
  const layer = join(directory, 'layer');
  await bd.request('commit', { device: 'made', output: layer, algorithm: 'none' });
  await close(bd, 'made');

  const config = writeConfig(join(directory, 'short.json'), { lowers: [{ file: layer }] });
  const { path } = await open(bd, config, 'short');
  truncateSync(layer, 4 * blockBytes);
  assert.ok(unreadable(path, content).length > 0);
  await until(() => daemon.said(/a layer is damaged/).length > 0);
  const [line] = daemon.said(/a layer is damaged/);
  assert.equal(line?.['layer'], layer);
  assert.ok(Number(line['offset']) >= 0);
  assert.match(
    String(line['reason']),
    /cannot be read: the file is shorter than when it was opened$/,
  );
  const stats = await bd.request<{ devices: DeviceStats[] }>('stats', { device: 'short' });
  assert.ok(stats.devices[0]!.damageCount > 0);
  assert.equal((await close(bd, 'short')).gone, true);
});
