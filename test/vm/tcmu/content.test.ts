// What disks of the kernel's target hold that varve-bd serves: golden content, file systems against
// the trees that they were made from, and what is written, discarded and flushed.
import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';

import type { DeviceStats } from '../../../src/cli/block-devices/documents.ts';
import type { BlockDaemonClient } from '../../../src/adapters/block-daemon/client.ts';
import {
  createUpper,
  expectedSum,
  list,
  readOnlyConfig,
  readRange,
  type UpperKind,
} from '../../native/block-daemon.ts';
import { contentOf, makeTree } from '../../native/file-tree.ts';
import { writeConfig } from '../../native/layer-tool.ts';
import { skipOutside } from '../inside.ts';
import { run } from '../programs.ts';
import { attach, detach, deviceName } from './disks.ts';
import { TargetDaemon } from './target.ts';

const skip = skipOutside('6.1');
const mebibyte = 1 << 20;

async function statsOf(bd: BlockDaemonClient, id: string): Promise<DeviceStats> {
  const device = deviceName(id);
  return (await bd.request<{ devices: DeviceStats[] }>('stats', { device })).devices[0]!;
}

test('a disk of golden layers reads as what they hold', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const bd = await node.client();
  const resultFile = join(node.directory, 'result');
  const config = readOnlyConfig(node.directory, 'ro', { resultFile });
  const { path, name } = await attach('1', config);
  assert.equal(readFileSync(resultFile, 'utf8'), 'success');
  assert.equal((await run('sha256sum', path)).split(' ')[0], expectedSum('stack3'));
  const [listed] = await list(bd);
  assert.deepEqual(
    [listed?.device, listed?.state, listed?.readOnly, listed?.transport],
    [deviceName('1'), 'open', true, 'tcmu'],
  );
  assert.match(String(listed?.path), /^\/dev\/uio\d+$/);
  const { transport, operations } = await statsOf(bd, '1');
  assert.equal(transport, 'tcmu');
  assert.ok(operations['read']!.sizeBytes >= 20 * mebibyte);
  const { text } = await bd.request<{ text: string }>('metrics');
  assert.match(text, /^varve_bd_device_info\{device="user_9+:dev_1",transport="tcmu"\} 1$/m);
  // It says of itself that it cannot be written, and nothing lies behind its end.
  assert.equal(readFileSync(`/sys/block/${name}/ro`, 'utf8').trim(), '1');
  assert.equal(await run('blockdev', '--getsize64', path), String(20 * mebibyte));
  await detach('1');
  assert.deepEqual(await list(bd), []);
});

interface FileSystem {
  readonly name: string;
  readonly kind: UpperKind;
  readonly size: string;
  readonly make: (device: string, tree: string, mountPoint: string) => Promise<unknown>;
  readonly check: readonly string[];
}

const fileSystems: readonly FileSystem[] = [
  {
    name: 'ext4',
    kind: 'append-only',
    size: '96M',
    make: (device, tree) => run('mkfs.ext4', '-q', '-F', '-d', tree, device),
    check: ['e2fsck', '-f', '-n'],
  },
  {
    name: 'xfs',
    kind: 'sparse',
    size: '320M',
    make: async (device, tree, mountPoint) => {
      await run('mkfs.xfs', '-q', '-f', device);
      await run('mount', device, mountPoint);
      await run('cp', '-a', `${tree}/.`, mountPoint);
      await run('umount', mountPoint);
    },
    check: ['xfs_repair', '-n'],
  },
  {
    name: 'erofs',
    kind: 'append-only',
    size: '96M',
    make: (device, tree) => run('mkfs.erofs', '--quiet', '-zlz4', device, tree),
    check: ['fsck.erofs'],
  },
];

for (const { name, kind, size, make, check } of fileSystems) {
  test(`${name} on a disk reads as the tree that it was made from`, { skip }, async (t) => {
    const node = await TargetDaemon.start(t);
    const bd = await node.client();
    const tree = join(node.directory, 'tree');
    const mountPoint = join(node.directory, 'mounted');
    makeTree(tree);
    mkdirSync(mountPoint);
    const upper = createUpper(node.directory, name, kind, size);
    const made = await attach('1', writeConfig(join(node.directory, 'rw.json'), { upper }));
    await make(made.path, tree, mountPoint);
    await run(check[0]!, ...check.slice(1), made.path);
    const output = join(node.directory, 'layer');
    await bd.request('commit', { device: deviceName('1'), output, algorithm: 'lz4' });
    await detach('1');

    const lowers = [{ file: output }];
    const { path } = await attach('2', writeConfig(join(node.directory, 'ro.json'), { lowers }));
    await run('mount', '--read-only', path, mountPoint);
    assert.deepEqual(contentOf(mountPoint), contentOf(tree));
    await run('umount', mountPoint);
    assert.equal((await statsOf(bd, '2')).operations['read']!.errorCount, 0);
    await detach('2');
  });
}

test('what is written is verified, discarded and flushed', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const bd = await node.client();
  const upper = createUpper(node.directory, 'rw', 'sparse', '32M');
  const { path } = await attach('1', writeConfig(join(node.directory, 'rw.json'), { upper }));
  const common = [`--filename=${path}`, '--ioengine=libaio', '--iodepth=16', '--direct=1'];
  const verified = ['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--minimal'];
  await run(
    'fio',
    ...[...common, ...verified, '--size=8M'],
    ...['--name=small', '--rw=randwrite', '--bs=4k'],
    ...['--name=odd', '--offset=8M', '--rw=randwrite', '--bsrange=512-256k'],
    ...['--name=large', '--offset=16M', '--rw=write', '--bs=2M'],
  );
  const before = (await statsOf(bd, '1')).operations;
  assert.equal(before['write']!.errorCount, 0);

  const allocated = statSync(upper.data).blocks * 512;
  await run('blkdiscard', '--offset', String(8 * mebibyte), '--length', String(8 * mebibyte), path);
  await run('blkdiscard', '--zeroout', '--offset', '0', '--length', String(mebibyte), path);
  for (const offset of [0, 8, 15]) {
    assert.ok(readRange(path, offset * mebibyte, mebibyte).equals(Buffer.alloc(mebibyte)));
  }
  const after = (await statsOf(bd, '1')).operations;
  assert.ok(after['discard']!.sizeBytes - before['discard']!.sizeBytes >= 8 * mebibyte);
  assert.ok(statSync(upper.data).blocks * 512 <= allocated - 7 * mebibyte, 'space is given back');

  // Two kinds of durable write: with a flush behind it, and one that asks for it itself.
  const flushed = after['flush']!.requestCount;
  await run('dd', 'if=/dev/urandom', `of=${path}`, 'bs=4k', 'count=1', 'conv=fsync', 'status=none');
  await run(
    'fio',
    ...common,
    '--name=forced',
    '--rw=write',
    '--bs=4k',
    '--size=64k',
    '--sync=1',
    '--minimal',
  );
  const end = (await statsOf(bd, '1')).operations['flush']!;
  assert.ok(end.requestCount >= flushed + 2, `${end.requestCount - flushed} flushes`);
  assert.equal(end.errorCount, 0);
});

test('a full disk below is told as such, and the device goes on', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const small = join(node.directory, 'small');
  mkdirSync(small);
  await run('mount', '-t', 'tmpfs', '-o', 'size=8M', 'small', small);
  const upper = createUpper(small, 'rw', 'append-only', '32M');
  const { path } = await attach('1', writeConfig(join(node.directory, 'rw.json'), { upper }));
  await assert.rejects(
    () => run('dd', 'if=/dev/zero', `of=${path}`, 'bs=1M', 'count=16', 'oflag=direct'),
    /No space left on device/,
  );
  const file = openSync(path, 'r');
  closeSync(file);
  await detach('1');
  await run('umount', small);
});

test('a layer that cannot be read is an error of what it holds alone', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const bd = await node.client();
  const upper = createUpper(node.directory, 'rw', 'append-only', '16M');
  const config = writeConfig(join(node.directory, 'rw.json'), { upper });
  const { path } = await attach('1', config);
  await run('dd', 'if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=8', 'oflag=direct');
  const output = join(node.directory, 'layer');
  await bd.request('commit', { device: deviceName('1'), output, algorithm: 'lz4' });
  await detach('1');
  const bytes = readFileSync(output);
  randomBytes(64).copy(bytes, bytes.length >> 1);
  writeFileSync(output, bytes);

  const lowers = [{ file: output }];
  const damaged = await attach('2', writeConfig(join(node.directory, 'ro.json'), { lowers }));
  await assert.rejects(
    () => run('dd', `if=${damaged.path}`, 'of=/dev/null', 'bs=1M', 'iflag=direct'),
    // As Linux tells an error of the medium.
    /No data available/,
  );
  assert.equal(readRange(damaged.path, 0, mebibyte).length, mebibyte);
  assert.ok((await statsOf(bd, '2')).damageCount > 0);
});

test('a disk that grows is told to the kernel', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const bd = await node.client();
  const upper = createUpper(node.directory, 'rw', 'sparse', '16M');
  const { path } = await attach('1', writeConfig(join(node.directory, 'rw.json'), { upper }));
  await bd.request('resize', { device: deviceName('1'), sizeBytes: 24 * mebibyte });
  assert.equal(await run('blockdev', '--getsize64', path), String(24 * mebibyte));
  const bytes = randomBytes(mebibyte);
  writeFileSync(join(node.directory, 'bytes'), bytes);
  const source = `if=${join(node.directory, 'bytes')}`;
  await run('dd', source, `of=${path}`, 'bs=1M', 'seek=23', 'oflag=direct', 'conv=notrunc');
  assert.ok(readRange(path, 23 * mebibyte, mebibyte).equals(bytes));
});
