// What devices hold, by every transport: golden content, file systems against the trees that they
// were made from, what is written, discarded and flushed, and what cannot be.
import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { test } from 'node:test';
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
import { run } from '../programs.ts';
import { deviceOf, transportsHere, type Transport } from '../transports.ts';
import { startOver } from './nodes.ts';

const mebibyte = 1 << 20;

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

function testContent(transport: Transport): void {
  test(`over ${transport} golden layers read as what they hold`, async (t) => {
    const node = await startOver(transport, t);
    const resultFile = join(node.directory, 'result');
    const config = readOnlyConfig(node.directory, 'ro', { resultFile });
    const path = await node.attach('1', config);
    assert.match(path, deviceOf(transport));
    assert.equal(readFileSync(resultFile, 'utf8'), 'success');
    assert.equal((await run('sha256sum', path)).split(' ')[0], expectedSum('stack3'));
    // It says of itself that it cannot be written, and nothing lies behind its end.
    assert.equal(readFileSync(`/sys/block/${basename(path)}/ro`, 'utf8').trim(), '1');
    assert.equal(await run('blockdev', '--getsize64', path), String(20 * mebibyte));

    const device = node.deviceOf('1');
    const [listed] = await list(node.bd);
    // Of a disk of the kernel's target varve-bd knows the node over which it is served.
    assert.match(
      listed?.path ?? '',
      transport === 'tcmu' ? /^\/dev\/uio\d+$/ : deviceOf(transport),
    );
    assert.deepEqual(
      [listed?.device, listed?.state, listed?.readOnly, listed?.transport],
      [device, 'open', true, transport],
    );
    const stats = await node.statsOf('1');
    assert.equal(stats.transport, transport);
    assert.ok(stats.operations['read']!.sizeBytes >= 20 * mebibyte);
    const { text } = await node.bd.request<{ text: string }>('metrics');
    const info = `varve_bd_device_info{device="${device}",transport="${transport}"} 1`;
    assert.ok(text.split('\n').includes(info), text);
    await node.detach('1');
    assert.deepEqual([await list(node.bd), await node.left()], [[], []]);
  });

  for (const { name, kind, size, make, check } of fileSystems) {
    test(`over ${transport} ${name} reads as the tree that it was made from`, async (t) => {
      const node = await startOver(transport, t);
      const tree = join(node.directory, 'tree');
      const mountPoint = join(node.directory, 'mounted');
      makeTree(tree);
      mkdirSync(mountPoint);
      const made = await node.writable('1', kind, size);
      await make(made.path, tree, mountPoint);
      await run(check[0]!, ...check.slice(1), made.path);
      const lowers = [{ file: await node.commit('1') }];
      await node.detach('1');

      const config = writeConfig(join(node.directory, 'ro.json'), { lowers });
      const path = await node.attach('2', config);
      await run('mount', '--read-only', path, mountPoint);
      assert.deepEqual(contentOf(mountPoint), contentOf(tree));
      await run('umount', mountPoint);
      assert.equal((await node.statsOf('2')).operations['read']!.errorCount, 0);
      await node.detach('2');
    });
  }

  test(`over ${transport} what is written is verified, discarded and flushed`, async (t) => {
    const node = await startOver(transport, t);
    const { path, data } = await node.writable('1', 'sparse', '32M');
    const common = [`--filename=${path}`, '--ioengine=libaio', '--iodepth=16', '--direct=1'];
    const verified = ['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--minimal'];
    await run(
      'fio',
      ...[...common, ...verified, '--size=8M'],
      ...['--name=small', '--rw=randwrite', '--bs=4k'],
      ...['--name=odd', '--offset=8M', '--rw=randwrite', '--bsrange=512-256k'],
      ...['--name=large', '--offset=16M', '--rw=write', '--bs=2M'],
    );
    const before = (await node.statsOf('1')).operations;
    assert.equal(before['write']!.errorCount, 0);

    const allocated = statSync(data).blocks * 512;
    const discarded = ['--offset', String(8 * mebibyte), '--length', String(8 * mebibyte)];
    await run('blkdiscard', ...discarded, path);
    await run('blkdiscard', '--zeroout', '--offset', '0', '--length', String(mebibyte), path);
    for (const offset of [0, 8, 15]) {
      assert.ok(readRange(path, offset * mebibyte, mebibyte).equals(Buffer.alloc(mebibyte)));
    }
    const after = (await node.statsOf('1')).operations;
    assert.ok(after['discard']!.sizeBytes - before['discard']!.sizeBytes >= 8 * mebibyte);
    assert.ok(statSync(data).blocks * 512 <= allocated - 7 * mebibyte, 'space is given back');

    // Two kinds of durable write: with a flush behind it, and one that asks for it itself.
    const flushed = after['flush']!.requestCount;
    const source = ['if=/dev/urandom', 'bs=4k', 'count=1', 'conv=fsync', 'status=none'];
    await run('dd', ...source, `of=${path}`);
    const forced = ['--name=forced', '--rw=write', '--bs=4k', '--size=64k', '--sync=1'];
    await run('fio', ...common, ...forced, '--minimal');
    const end = (await node.statsOf('1')).operations['flush']!;
    assert.ok(end.requestCount >= flushed + 2, `${end.requestCount - flushed} flushes`);
    assert.equal(end.errorCount, 0);
  });

  test(`over ${transport} a full disk below is told, and the device goes on`, async (t) => {
    const node = await startOver(transport, t);
    const small = join(node.directory, 'small');
    mkdirSync(small);
    await run('mount', '-t', 'tmpfs', '-o', 'size=8M', 'small', small);
    const upper = createUpper(small, 'rw', 'append-only', '32M');
    const config = writeConfig(join(node.directory, 'rw.json'), { upper });
    const path = await node.attach('1', config);
    await assert.rejects(
      () => run('dd', 'if=/dev/zero', `of=${path}`, 'bs=1M', 'count=16', 'oflag=direct'),
      /No space left on device/,
    );
    closeSync(openSync(path, 'r'));
    await node.detach('1');
    await run('umount', small);
  });

  test(`over ${transport} what of a layer is damaged cannot be read, and it alone`, async (t) => {
    const node = await startOver(transport, t);
    const { path } = await node.writable('1', 'append-only', '16M');
    await run('dd', 'if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=8', 'oflag=direct');
    const layer = await node.commit('1');
    await node.detach('1');
    const bytes = readFileSync(layer);
    randomBytes(64).copy(bytes, bytes.length >> 1);
    writeFileSync(layer, bytes);

    const config = writeConfig(join(node.directory, 'ro.json'), { lowers: [{ file: layer }] });
    const damaged = await node.attach('2', config);
    await assert.rejects(
      () => run('dd', `if=${damaged}`, 'of=/dev/null', 'bs=1M', 'iflag=direct'),
      // SCSI knows errors of the medium, which Linux tells by another name.
      transport === 'tcmu' ? /No data available/ : /Input\/output error/,
    );
    assert.equal(readRange(damaged, 0, mebibyte).length, mebibyte);
    assert.ok((await node.statsOf('2')).damageCount > 0);
  });
}

for (const transport of transportsHere()) testContent(transport);
