// What devices of the kernel's ublk hold: golden content, file systems against the trees that they
// were made from, and what is written, discarded and flushed.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  close,
  expectedSum,
  list,
  open,
  readOnlyConfig,
  readRange,
  type UpperKind,
} from '../../native/block-daemon.ts';
import { contentOf, makeTree } from '../../native/file-tree.ts';
import { writeConfig } from '../../native/layer-tool.ts';
import { skipOutside } from '../inside.ts';
import { run } from '../programs.ts';
import { kernelDevices, UblkNode } from './node.ts';

const skip = skipOutside('6.12');
const mebibyte = 1 << 20;

test('a device of golden layers reads as what they hold', { skip }, async (t) => {
  const node = await UblkNode.start(t);
  const { bd } = node;
  const config = readOnlyConfig(node.directory);
  const { path, sizeBytes, readOnly } = await open(bd, config, 'ro');
  assert.match(path, /^\/dev\/ublkb\d+$/);
  assert.deepEqual([sizeBytes, readOnly], [20 * mebibyte, true]);
  assert.equal((await run('sha256sum', path)).split(' ')[0], expectedSum('stack3'));
  const name = path.slice('/dev/'.length);
  assert.equal(readFileSync(`/sys/block/${name}/ro`, 'utf8').trim(), '1');
  assert.equal(
    await run('blockdev', '--getss', '--getpbsz', '--getsize64', path),
    `512\n512\n${20 * mebibyte}`,
  );
  // The kernel can only take requests back if it has a command without one.
  assert.equal(readFileSync(`/sys/block/${name}/queue/nr_requests`, 'utf8').trim(), '63');
  const [listed] = await list(bd);
  assert.deepEqual([listed?.transport, listed?.state, listed?.path], ['ublk', 'open', path]);
  const { daemon } = await bd.request<{ daemon: Record<string, unknown> }>('stats');
  assert.deepEqual(
    [daemon['transport'], daemon['transports'], daemon['devicesOutlive']],
    ['ublk', ['ublk', 'fuse'], true],
  );
  assert.deepEqual([daemon['outlivingTransports'], daemon['lacking']], [['ublk'], {}]);
  assert.deepEqual(await close(bd, 'ro'), { device: 'ro', gone: true, users: [] });
  assert.equal(existsSync(path), false);
  assert.deepEqual([kernelDevices(), node.notes], [[], []]);
});

test('who asks for fuse gets it, beside the others', { skip }, async (t) => {
  const node = await UblkNode.start(t);
  const config = readOnlyConfig(node.directory);
  const { path } = await node.bd.request<{ path: string }>('open', {
    config,
    device: 'fuse',
    transport: 'fuse',
  });
  assert.match(path, /^\/dev\/loop\d+$/);
  assert.equal((await open(node.bd, config, 'ublk')).path.startsWith('/dev/ublkb'), true);
  assert.deepEqual(
    (await list(node.bd)).map(({ device, transport }) => [device, transport]),
    [
      ['fuse', 'fuse'],
      ['ublk', 'ublk'],
    ],
  );
  await close(node.bd, 'fuse');
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
];

for (const { name, kind, size, make, check } of fileSystems) {
  test(`${name} on a device reads as the tree that it was made from`, { skip }, async (t) => {
    const node = await UblkNode.start(t);
    const tree = join(node.directory, 'tree');
    const mountPoint = join(node.directory, 'mounted');
    makeTree(tree);
    mkdirSync(mountPoint);
    const { path } = await node.writable('made', kind, size);
    await make(path, tree, mountPoint);
    await run(check[0]!, ...check.slice(1), path);
    const output = join(node.directory, 'layer');
    await node.bd.request('commit', { device: 'made', output, algorithm: 'lz4' });
    await close(node.bd, 'made');

    const config = writeConfig(join(node.directory, 'ro.json'), { lowers: [{ file: output }] });
    const read = await open(node.bd, config, 'read');
    await run('mount', '--read-only', read.path, mountPoint);
    assert.deepEqual(contentOf(mountPoint), contentOf(tree));
    await run('umount', mountPoint);
    assert.equal((await node.statsOf('read')).operations['read']!.errorCount, 0);
    await close(node.bd, 'read');
  });
}

test('what is written is verified, discarded and flushed', { skip }, async (t) => {
  const node = await UblkNode.start(t);
  const { path } = await node.writable('rw', 'sparse', '32M');
  const common = [`--filename=${path}`, '--ioengine=libaio', '--iodepth=16', '--direct=1'];
  const verified = ['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--minimal'];
  await run(
    'fio',
    ...[...common, ...verified, '--size=8M'],
    ...['--name=small', '--rw=randwrite', '--bs=4k'],
    ...['--name=odd', '--offset=8M', '--rw=randwrite', '--bsrange=512-256k'],
    ...['--name=large', '--offset=16M', '--rw=write', '--bs=2M'],
  );
  const before = (await node.statsOf('rw')).operations;
  assert.equal(before['write']!.errorCount, 0);

  const data = join(node.directory, 'rw.data');
  const allocated = statSync(data).blocks * 512;
  await run('blkdiscard', '--offset', String(8 * mebibyte), '--length', String(8 * mebibyte), path);
  await run('blkdiscard', '--zeroout', '--offset', '0', '--length', String(mebibyte), path);
  for (const offset of [0, 8, 15]) {
    assert.ok(readRange(path, offset * mebibyte, mebibyte).equals(Buffer.alloc(mebibyte)));
  }
  const after = (await node.statsOf('rw')).operations;
  assert.ok(after['discard']!.sizeBytes - before['discard']!.sizeBytes >= 8 * mebibyte);
  assert.ok(statSync(data).blocks * 512 <= allocated - 7 * mebibyte, 'space is given back');

  // Two kinds of durable write: with a flush behind it, and one that asks for it itself.
  const flushed = after['flush']!.requestCount;
  await run('dd', 'if=/dev/urandom', `of=${path}`, 'bs=4k', 'count=1', 'conv=fsync', 'status=none');
  await run(
    'fio',
    ...[...common, '--name=forced', '--rw=write', '--bs=4k', '--size=64k', '--sync=1'],
    '--minimal',
  );
  const end = (await node.statsOf('rw')).operations['flush']!;
  assert.ok(end.requestCount >= flushed + 2, `${end.requestCount - flushed} flushes`);
  assert.equal(end.errorCount, 0);
});

test('a size that this kernel cannot change is refused before anything is', { skip }, async (t) => {
  const node = await UblkNode.start(t);
  await node.writable('rw', 'sparse', '16M');
  await assert.rejects(
    node.bd.request('resize', { device: 'rw', sizeBytes: 24 * mebibyte }),
    /cannot change the size of a device that is there \(Linux 6\.16 can\)/,
  );
  assert.equal((await list(node.bd))[0]?.sizeBytes, 16 * mebibyte);
});
