// varve devices with real devices: what they show, who uses them, what they have done, what went
// wrong; now, in the past, and from a file.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import type { DeviceDocument, DevicesDocument } from '../../src/history/devices-document.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { base, BlockNode, top } from './block-node.ts';
import { startVarve, varve } from './varve.ts';

describe('varve devices', { skip: deviceObstacle() ?? false }, () => {
  let node: BlockNode;

  before(async () => {
    node = await BlockNode.start();
    await node.unpackLayers();
    await node.prepare('default/3/box', top);
  });
  after(() => node?.scratch.dispose());

  const only = async (...args: readonly string[]): Promise<DeviceDocument> => {
    const { devices } = await node.json<DevicesDocument>('devices', ...args);
    assert.equal(devices.length, 1);
    return devices[0] as DeviceDocument;
  };

  test('a device is told with its chain, place, leases and figures', async () => {
    const mountPoint = path.join(node.root, 'snapshots', '2', 'block', 'mountpoint');
    assert.equal(readFileSync(path.join(mountPoint, 'top'), 'utf8'), 'top\n');
    const device = await only();
    assert.equal(device.state, 'ready');
    assert.equal(device.key, top);
    assert.deepEqual(device.chain, [{ id: 1, key: base }]);
    assert.match(device.path ?? '', /^\/dev\/loop\d+$/);
    assert.equal(device.mountPoint, mountPoint);
    assert.equal(device.transport, 'fuse');
    assert.deepEqual(device.leases, [{ id: 3, key: 'default/3/box', purpose: 'container' }]);
    assert.ok((device.figures?.readBytes ?? 0) > 0, JSON.stringify(device.figures));
    assert.equal(device.lastTrouble, null);

    const { stdout } = await node.ask('devices');
    assert.match(stdout, /^#2 {2}ready {2}\/dev\/loop\d+ {2}32\.0 MiB {2}ext4 {2}ro {2}fuse$/m);
    assert.match(stdout, /^ {2}layer +default\/2\/sha256:top$/m);
    assert.match(stdout, /^ {2}on +default\/1\/sha256:base \(#1\)$/m);
    assert.match(stdout, /^ {2}leased for +container default\/3\/box \(#3\)$/m);
    assert.match(stdout, /^ {2}has done +\d+ reads?, /m);
  });

  test('the device of a snapshot is told with it, and how it was attached in the history', async () => {
    const shown = await node.ask('show', 'default/3/box');
    assert.match(shown.stdout, /^device +#2 {2}\/dev\/loop\d+ {2}fuse {2}ready$/m);
    const told = await node.ask('events', '--type', 'DeviceAttached');
    assert.match(told.stdout, /It was attached as "\/dev\/loop\d+" over fuse, 32\.0 MiB/);
  });

  test('the past is told as it was, without figures', async () => {
    const { globalSeq } = await eventOf('DeviceLeased');
    const device = await only('--at', `${globalSeq}`);
    assert.equal(device.state, 'absent');
    assert.equal(device.transport, null);
    const attached = await only('--at', `${(await eventOf('DeviceAttached')).globalSeq}`);
    assert.equal(attached.transport, 'fuse');
  });

  test('a history in a file tells them on any machine', async () => {
    const file = path.join(node.scratch.path, 'history.ndjson');
    assert.equal((await node.ask('export', file)).code, 0);
    const { stdout, stderr } = await varve(['devices', '--json', '--file', file]);
    assert.equal(stderr, '');
    const { devices, figuresMissing } = JSON.parse(stdout) as DevicesDocument;
    assert.equal(devices[0]?.key, top);
    assert.equal(devices[0]?.mountPoint, null);
    assert.match(figuresMissing ?? '', /history/);
  });

  test('--watch shows them again as soon as something happens to one, until Ctrl-C', async () => {
    const child = startVarve(['devices', '--watch', '--json', '--address', node.daemon.address]);
    assert.ok(child.stdout);
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const leaseCount = async (): Promise<number | undefined> => {
      const { devices } = JSON.parse((await lines.next()).value as string) as DevicesDocument;
      return devices[0]?.leases.length;
    };
    assert.equal(await leaseCount(), 1);
    await node.prepare('default/4/watched', top);
    assert.equal(await leaseCount(), 2);
    await node.remove('default/4/watched');
    assert.equal(await leaseCount(), 1);
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number | null];
    assert.equal(code, 130);
    const refused = await node.ask('devices', '--watch', '--at', '1');
    assert.equal(refused.code, 2);
  });

  test('a device that was lost and came back bears its last trouble', async () => {
    await node.restartBlockDaemon();
    await node.restart();
    await waitUntil('the device is back', async () => (await only()).state === 'ready');
    const { lastTrouble } = await only();
    assert.equal(lastTrouble?.type, 'DeviceLost');
    assert.match(lastTrouble?.reason ?? '', /backing store/);
    assert.match((await node.ask('devices')).stdout, /last trouble .*it was lost: the backing/);
  });

  test('without varve-bd they are told all the same, and why figures are missing', async () => {
    await node.blockDaemon.service.kill();
    const { figuresMissing, devices } = await node.json<DevicesDocument>('devices');
    assert.match(figuresMissing ?? '', /varve-bd does not run there/);
    assert.equal(devices[0]?.figures, null);
    assert.match((await node.ask('devices')).stdout, /^No figures: varve-bd does not run/m);
  });

  async function eventOf(type: string): Promise<{ readonly globalSeq: number }> {
    const { stdout } = await node.ask('events', '--json', '--type', type);
    return JSON.parse(stdout.split('\n')[0] ?? '') as { globalSeq: number };
  }
});
