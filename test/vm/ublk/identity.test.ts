// What devices of the kernel's ublk are: their geometry, what varve-bd says of them, those of other
// transports beside them, and sizes.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';
import { list, readOnlyConfig } from '../../native/block-daemon.ts';
import { startNode } from '../devices/node.ts';
import { kernelDevices, UblkNode } from '../devices/nodes.ts';
import { skipOutside } from '../inside.ts';
import { run } from '../programs.ts';

const skip = skipOutside('6.12');
const mebibyte = 1 << 20;

test(
  'a device has sectors of 512 bytes, and requests that can be taken back',
  { skip },
  async (t) => {
    const node = await startNode(t, UblkNode);
    const path = await node.attach('1', readOnlyConfig(node.directory));
    assert.match(path, /^\/dev\/ublkb\d+$/);
    assert.equal(await run('blockdev', '--getss', '--getpbsz', path), '512\n512');
    // The kernel can only take requests back if it has a command without one.
    const queue = `/sys/block/${basename(path)}/queue`;
    assert.equal(readFileSync(`${queue}/nr_requests`, 'utf8').trim(), '63');
    const { daemon } = await node.bd.request<{ daemon: Record<string, unknown> }>('stats');
    assert.deepEqual(
      [daemon['transport'], daemon['transports'], daemon['devicesOutlive']],
      ['ublk', ['ublk', 'fuse'], true],
    );
    assert.deepEqual([daemon['outlivingTransports'], daemon['lacking']], [['ublk'], {}]);
    await node.detach('1');
    assert.equal(existsSync(path), false);
  },
);

test('who asks for fuse gets it, beside the others', { skip }, async (t) => {
  const node = await startNode(t, UblkNode);
  const config = readOnlyConfig(node.directory);
  const { path } = await node.bd.request<{ path: string }>('open', {
    ...{ config, device: 'fuse', transport: 'fuse' },
  });
  assert.match(path, /^\/dev\/loop\d+$/);
  // Without a word of it, ublk is what there is.
  const opened = await node.bd.request<{ path: string }>('open', { config, device: 'ublk' });
  assert.match(opened.path, /^\/dev\/ublkb\d+$/);
  assert.deepEqual(
    (await list(node.bd)).map(({ device, transport }) => [device, transport]),
    [
      ['fuse', 'fuse'],
      ['ublk', 'ublk'],
    ],
  );
  for (const name of ['fuse', 'ublk']) await node.detach(name);
  assert.deepEqual(await node.left(), []);
});

test('a size that this kernel cannot change is refused before anything is', { skip }, async (t) => {
  const node = await startNode(t, UblkNode);
  await node.writable('rw', 'sparse', '16M');
  await assert.rejects(
    node.bd.request('resize', { device: 'rw', sizeBytes: 24 * mebibyte }),
    /cannot change the size of a device that is there \(Linux 6\.16 can\)/,
  );
  assert.equal((await list(node.bd))[0]?.sizeBytes, 16 * mebibyte);
});

test('an interrupt by a person ends devices', { skip }, async (t) => {
  const node = await startNode(t, UblkNode);
  await node.attach('1', readOnlyConfig(node.directory));
  assert.equal(await node.end('SIGTERM'), 0);
  assert.equal(node.daemon.said(/devices wait for the next one/).length, 1);
  assert.equal(kernelDevices().length, 1);
  await node.start();
  await node.recovered(['1']);
  assert.equal(await node.end('SIGINT'), 0);
  assert.deepEqual(await node.left(), []);
});
