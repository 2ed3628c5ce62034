// Devices of snapshots over the kernel's target: what they are called and what they are told, held
// against what overlaybd's own snapshotter does; who is in the way of whom; other transports before
// and after.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { BlockDaemonClient } from '../../../src/adapters/block-daemon/client.ts';
import { base, top, type BlockNode } from '../../cli/block-node.ts';
import { namedCrashPoints } from '../../crash/points.ts';
import { assertRefused } from '../../faults/faulty-node.ts';
import { readOnlyConfig } from '../../native/block-daemon.ts';
import { chooseSeed, randomNumbers } from '../../native/random.ts';
import { scratchDirectory } from '../../native/scratch.ts';
import { hangingDirectory } from '../hanging-directory.ts';
import { skipOutside } from '../inside.ts';
import { waitUntil } from '../programs.ts';
import { attach, detach } from '../tcmu/disks.ts';
import {
  configured,
  deviceOf,
  linkOf,
  mountPointOf,
  nothingLeft,
  readAttribute,
  startTargetNode,
  targetRoot,
} from './target-node.ts';

const box = 'default/3/box';
const isLong = process.env['VARVE_LONG'] === '1';

/** Another process that has `file` open; answers how to end it. */
async function holdOpen(t: TestContext, file: string): Promise<() => Promise<void>> {
  const script = 'exec 3<"$0"; echo held; exec sleep 600';
  const child = spawn('sh', ['-c', script, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(end);
  await once(child.stdout, 'data');
  return end;
}

describe('devices of snapshots over tcmu', { skip: skipOutside('6.1') }, () => {
  let node: BlockNode;

  before(async () => {
    node = await startTargetNode();
    await node.unpackLayers();
  });
  after(() => node?.scratch.dispose());

  const remove = async (...keys: readonly string[]): Promise<void> => {
    for (const key of keys) assert.equal((await node.remove(key)).code, status.OK);
  };

  async function restartWith(settings: object): Promise<void> {
    node.configure(settings);
    await node.restart();
  }

  test('one is called and configured as overlaybd’s own snapshotter does it', async () => {
    await node.prepare(box, top);
    const core = `${targetRoot}/core/user_999999999/dev_2`;
    const port = 'naa.1990000000000002';
    const group = `${targetRoot}/loopback/${port}/tpgt_1`;
    const config = join(node.root, 'snapshots/2/block/config.v1.json');
    assert.deepEqual(configured(), ['core/user_999999999/dev_2', `loopback/${port}`]);
    assert.equal(readAttribute(`${core}/attrib/dev_config`), `overlaybd/${config}`);
    assert.equal(readAttribute(`${core}/attrib/max_data_area_mb`), '4');
    assert.equal(readAttribute(`${core}/attrib/cmd_time_out`), '2147483');
    assert.equal(readAttribute(`${core}/enable`), '1');
    assert.equal(readAttribute(`${group}/nexus`), port);
    assert.equal(linkOf(`${group}/lun/lun_0/dev_2`), 'target/core/user_999999999/dev_2');
    const result = join(node.root, 'snapshots/2/block/init-debug.log');
    assert.equal(readFileSync(result, 'utf8'), 'success');

    const device = await deviceOf(node, 2);
    assert.equal(device.transport, 'tcmu');
    assert.match(device.path ?? '', /^\/dev\/sd[a-z]$/);
    assert.ok((device.figures?.readBytes ?? 0) > 0, JSON.stringify(device));
    const name = device.path?.slice('/dev/'.length) ?? '';
    assert.equal(readAttribute(`/sys/block/${name}/device/timeout`), '2147483');
    const address = readAttribute(`${group}/address`);
    const shown = `/sys/class/scsi_device/${address}:0/device/block/${name}`;
    assert.equal(statSync(shown).isDirectory(), true);
    const place = mountPointOf(node, 2);
    assert.equal(readFileSync(join(place, 'top'), 'utf8'), 'top\n');
    assert.equal(statSync(place).dev, statSync(device.path ?? '').rdev);
    await remove(box);
    await nothingLeft(node);
  });

  test('R-10: one that somebody has open stays, and says who it is', async (t) => {
    await node.prepare(box, top);
    const { path } = await deviceOf(node, 2);
    const end = await holdOpen(t, path ?? '');
    await remove(box);
    await waitUntil('the failure is recorded', async () => {
      const { lastTrouble } = await deviceOf(node, 2);
      const { code, message = '' } = lastTrouble?.failure ?? {};
      return code === 'EBUSY' && /\/dev\/sd\w is in use: process \d+ \(/.test(message);
    });
    assert.equal(statSync(path ?? '').isBlockDevice(), true);
    await end();
    await nothingLeft(node);
  });

  test('one of another’s that bears the name is left alone, and named', async (t) => {
    const directory = scratchDirectory(t);
    const disk = await attach('2', readOnlyConfig(directory));
    const before = configured();
    const refused = await node.tryPrepare(box, top);
    assertRefused(
      refused,
      'UNKNOWN',
      /dev_2 is there, with the configuration "overlaybd\/\/.*tenant/,
    );
    assert.deepEqual(configured(), before);
    assert.equal(readAttribute(`/sys/block/${disk.name}/device/vendor`), 'LIO-ORG');
    assert.equal(readFileSync(disk.path, { flag: 'r' }).length, 20 << 20);
    await detach('2');
    await node.prepare(box, top);
    await remove(box);
    await nothingLeft(node);
  });

  test('another transport is for devices that come: those that are there stay', async () => {
    const known = async (id: number) => {
      const { path, transport } = await deviceOf(node, id);
      return { path, transport, mounted: statSync(mountPointOf(node, id)).dev };
    };
    await node.prepare(box, top);
    const overTarget = await known(2);
    assert.equal(overTarget.transport, 'tcmu');
    assert.match(overTarget.path ?? '', /^\/dev\/sd[a-z]$/);

    await restartWith({ transport: 'fuse' });
    await node.prepare('default/4/other', base);
    assert.deepEqual(await known(2), overTarget);
    const overFuse = await known(1);
    assert.equal(overFuse.transport, 'fuse');
    assert.match(overFuse.path ?? '', /^\/dev\/loop\d+$/);
    assert.equal(readFileSync(join(mountPointOf(node, 1), 'base'), 'utf8'), 'base\n');
    await remove(box, 'default/4/other');
    await nothingLeft(node);
  });

  /** Works until the server is gone: a container comes, and goes if it has come. */
  async function workUntilGone(): Promise<void> {
    const gone = node.daemon.gone();
    const { code } = await node.tryPrepare(box, top);
    if (code === status.OK || code === status.ALREADY_EXISTS) await node.remove(box);
    await gone;
  }

  /** Killed at a step; the next one goes on. */
  async function killAt(point: string): Promise<void> {
    await node.restart('SIGTERM', { VARVE_CRASH_AT: `${point}:1` });
    await workUntilGone();
    await node.restart('SIGKILL');
    const { code, details } = await node.tryPrepare(box, top);
    assert.equal(code, status.OK, details);
    assert.equal(readFileSync(join(mountPointOf(node, 2), 'top'), 'utf8'), 'top\n');
    const { transport, path } = await deviceOf(node, 2);
    assert.equal(transport, 'tcmu');
    const disk = path?.slice('/dev/'.length) ?? '';
    assert.equal(readAttribute(`/sys/block/${disk}/device/timeout`), '2147483');
    assert.deepEqual(configured(), ['core/user_7/dev_2', 'loopback/naa.1070000000000002']);
    await remove(box);
    await nothingLeft(node);
  }

  test('R-17c: a server with a tenant, killed at any step, goes on from there', async (t) => {
    node.configure({ transport: 'tcmu', tenant: 7 });
    const points = namedCrashPoints().filter((name) => name.startsWith('target:'));
    assert.equal(points.length, 2 * 18);
    // A start takes long here.
    const some = isLong ? points : [points[randomNumbers(chooseSeed(t))(points.length)] ?? ''];
    for (const point of some) {
      t.diagnostic(point);
      await killAt(point);
    }
  });

  test('a daemon that is killed while it opens an image holds up nothing for good', async (t) => {
    const layers = join(node.root, 'snapshots/1/fs');
    const hanging = await hangingDirectory(t, layers);
    const pending = node.tryPrepare(box, top);
    const client = await BlockDaemonClient.connect(node.blockDaemon.address);
    await waitUntil('the daemon opens it', async () => {
      const { devices } = await client.request<{ devices: { state: string }[] }>('list');
      return devices.some(({ state }) => state === 'opening');
    });
    client.close();
    await node.blockDaemon.service.kill();
    if (isLong) {
      // What enables it is in the kernel, and outlives its server: nobody waits with it.
      await node.restart('SIGKILL');
      assertRefused(await pending, 'UNAVAILABLE', /./);
      assertRefused(await node.tryPrepare(box, top), 'UNAVAILABLE', /start/);
    }
    await hanging.remove();
    await node.startBlockDaemon();
    // The kernel ends the enabling that the next daemon knows nothing of.
    await pending;
    await waitUntil('it works again', async () => {
      const { code } = await node.tryPrepare(box, top);
      return code === status.OK || code === status.ALREADY_EXISTS;
    });
    assert.equal(readFileSync(join(mountPointOf(node, 2), 'top'), 'utf8'), 'top\n');
    await remove(box);
    await nothingLeft(node);
  });
});
