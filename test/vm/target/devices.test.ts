// Devices of snapshots over the kernel's target: what they are called and what they are told, held
// against what overlaybd's own snapshotter does; who is in the way of whom.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { top, type BlockNode } from '../../cli/block-node.ts';
import { skipOutside } from '../inside.ts';
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

describe('devices of snapshots over tcmu', { skip: skipOutside('6.1') }, () => {
  let node: BlockNode;

  before(async () => {
    node = await startTargetNode();
    await node.unpackLayers();
  });
  after(() => node?.scratch.dispose());

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
    assert.equal(
      statSync(`/sys/class/scsi_device/${address}:0/device/block/${name}`).isDirectory(),
      true,
    );
    const place = mountPointOf(node, 2);
    assert.equal(readFileSync(join(place, 'top'), 'utf8'), 'top\n');
    assert.equal(statSync(place).dev, statSync(device.path ?? '').rdev);

    assert.equal((await node.remove(box)).code, 0);
    await nothingLeft(node);
  });
});
