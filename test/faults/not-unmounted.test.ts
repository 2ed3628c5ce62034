// File systems that nobody unmounted: what a container had not written yet is lost with its device,
// and no more than that.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import { BlockNode, top } from '../cli/block-node.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { tool } from '../native/layer-tool.ts';
import {
  assertNothingAttached,
  assertRemoved,
  failuresOf,
  placeOf,
  writes,
} from './faulty-node.ts';

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

  /** A container writes; then all that serves it dies, and its file system is not whole. */
  async function writeAndBreak(): Promise<string> {
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
    return config;
  }

  async function assertMended(): Promise<void> {
    assert.equal(readFileSync(path.join(await placeOf(node, box), 'written'), 'utf8'), 'written\n');
    await node.commit(box, saved);
    await assertSound(node, saved);
    for (const key of ['default/5/look', saved]) await assertRemoved(node, key);
    await assertNothingAttached(node);
  }

  test('R-13b: is mended before it is mounted again', async () => {
    const config = await writeAndBreak();
    assert.match(tool('file-system', '--json', config), /"wasUnmounted": false/);
    await node.restart();
    await assertMended();
  });

  test('is not committed while it cannot be mended', async () => {
    const config = await writeAndBreak();
    const id = path.basename(path.dirname(path.dirname(config)));
    const programs = path.join(node.scratch.path, 'programs');
    mkdirSync(programs);
    const failing = '#!/bin/sh\necho "Inodes are beyond repair"\nexit 4\n';
    writeFileSync(path.join(programs, 'e2fsck'), failing, { mode: 0o700 });
    await node.restart('SIGTERM', { PATH: `${programs}:${process.env['PATH'] ?? ''}` });
    await waitUntil('it cannot be attached', async () =>
      (await failuresOf(node, `device-${id}`)).some((failure) =>
        /^DeviceAttachFailed: EUCLEAN e2fsck cannot mend .*beyond repair/.test(failure),
      ),
    );
    for (const _ of [1, 2]) {
      const { code, details } = await node.tryCommit(box, saved);
      assert.notEqual(code, status.OK);
      assert.match(
        details,
        /could not be committed: seal-layer failed with EUCLEAN: its file system/,
      );
    }
    rmSync(programs, { recursive: true });
    await node.restart();
    await assertMended();
  });
});
