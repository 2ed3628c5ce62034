// File systems that nobody unmounted: what a container had not written yet is lost with its device,
// and no more than that.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import { BlockNode, top } from '../cli/block-node.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { assertNothingAttached, assertRemoved, placeOf, writes } from './faulty-node.ts';

const box = 'default/3/box';
const saved = 'default/4/saved';

const options = { skip: deviceObstacle() ?? false, timeout: 120_000 };

/** Breaks a file system as a loss of power may: a block that a file has counts as free. */
async function breakFileSystem(device: string, file: string): Promise<void> {
  const blocks = await runCommand(['debugfs', '-R', `blocks /${file}`, device]);
  const [block = ''] = blocks.trim().split(' ');
  await runCommand(['debugfs', '-w', '-R', `freeb ${block}`, device]);
}

/** Of what was committed, as one sees it who reads it. */
async function assertSound(node: BlockNode, name: string): Promise<string> {
  const viewed = await node.tryView('default/5/look', name);
  assert.equal(viewed.code, status.OK, viewed.details);
  const seen = viewed.value?.mounts?.[0]?.source ?? '';
  const device = (await runCommand(['findmnt', '-n', '-o', 'SOURCE', seen])).trim();
  await runCommand(['e2fsck', '-f', '-n', device]);
  return seen;
}

describe('a file system that was not unmounted', options, () => {
  let node: BlockNode;

  before(async () => {
    node = await BlockNode.start({ lingerMs: 0 });
    await node.unpackLayers();
  });
  after(() => node?.scratch.dispose());

  test('R-13b: is mended before it is mounted again', async () => {
    await node.prepare(box, top, writes);
    const place = await placeOf(node, box);
    writeFileSync(path.join(place, 'written'), 'written\n', { flush: true });
    await runCommand(['sync', '--file-system', place]);
    await node.daemon.stop('SIGKILL');
    await node.blockDaemon.service.kill();
    await runCommand(['umount', '--lazy', place]);

    await node.startBlockDaemon();
    const bd = await BlockDaemonClient.connect(node.blockDaemon.address);
    const config = path.join(path.dirname(place), 'config.v1.json');
    const { path: device } = await bd.request<{ path: string }>('open', {
      config,
      device: 'other',
    });
    await breakFileSystem(device, 'written');
    await assert.rejects(runCommand(['e2fsck', '-f', '-n', device]), /Block bitmap differences/);
    await bd.request('close', { device: 'other' });
    bd.close();

    await node.restart();
    assert.equal(readFileSync(path.join(await placeOf(node, box), 'written'), 'utf8'), 'written\n');
    await node.commit(box, saved);
    await assertSound(node, saved);
    for (const key of ['default/5/look', saved]) await assertRemoved(node, key);
    await assertNothingAttached(node);
  });
});
