// The size of disks of the kernel's target: what grows, and what the target would change itself.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readOnlyConfig, readRange } from '../../native/block-daemon.ts';
import { startNode } from '../devices/node.ts';
import { TargetNode } from '../devices/nodes.ts';
import { skipOutside } from '../inside.ts';
import { run } from '../programs.ts';
import { deviceName, reconfigure } from './disks.ts';

const skip = skipOutside('6.1');
const mebibyte = 1 << 20;

test('a disk that grows is told to the kernel', { skip }, async (t) => {
  const node = await startNode(t, TargetNode);
  const { path } = await node.writable('1', 'sparse', '16M');
  await node.bd.request('resize', { device: deviceName('1'), sizeBytes: 24 * mebibyte });
  assert.equal(await run('blockdev', '--getsize64', path), String(24 * mebibyte));
  const bytes = randomBytes(mebibyte);
  writeFileSync(join(node.directory, 'bytes'), bytes);
  const source = `if=${join(node.directory, 'bytes')}`;
  await run('dd', source, `of=${path}`, 'bs=1M', 'seek=23', 'oflag=direct', 'conv=notrunc');
  assert.ok(readRange(path, 23 * mebibyte, mebibyte).equals(bytes));
});

test('what the target would change of a device is refused', { skip }, async (t) => {
  const node = await startNode(t, TargetNode);
  const path = await node.attach('1', readOnlyConfig(node.directory));
  await assert.rejects(reconfigure('1', 'dev_size', '1048576'), { code: 'ENOTSUP' });
  await run('dd', `if=${path}`, 'of=/dev/null', 'bs=4k', 'count=1', 'iflag=direct');
  assert.equal(await run('blockdev', '--getsize64', path), String(20 * mebibyte));
  await node.detach('1');
});
