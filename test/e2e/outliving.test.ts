// Containers whose root file systems lie on devices of varve-bd do not notice that it is killed or
// replaced: they read and write on, and what comes later finds the same devices.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { debianContainerd } from './lab/clients.ts';
import type { Image } from './lab/image.ts';
import { VarveNode } from './lab/varve-node.ts';

const client = await debianContainerd();
const skip = 'missing' in client ? client.missing : (deviceObstacle() ?? false);
const writable = { 'containerd.io/snapshot/overlaybd.writable': 'dir' };

/** Counts up in a file and reads everything again, until /stop is there; says what failed. */
const work = `
  turns=0
  until [ -e /stop ]; do
    turns=$((turns + 1))
    echo $turns >/counted && sync && [ "$(cat /counted)" = $turns ] || echo "failed in turn $turns"
    cat /bin/busybox >/dev/null || echo "unreadable in turn $turns"
  done
  echo "turns $turns"`;

describe('varve-bd is replaced under containers', { skip, timeout: 120_000 }, () => {
  let started: VarveNode | undefined;
  let image: Image;
  const node = (): VarveNode => {
    assert.ok(started !== undefined, 'containerd or the snapshotter did not start');
    return started;
  };
  before(async () => {
    if (!('programDirectories' in client)) return;
    started = await VarveNode.start({ prefix: 'varve-out-', client, hasHolder: true });
    image = await started.image('overlaybd');
    await started.import(image);
    await started.startContainer(image, 'above');
    await started.startContainer(image, 'writing', writable);
  });
  after(() => started?.scratch.dispose());

  test('they read and write on', async () => {
    const devices = (await node().state()).devices.map(({ id, path }) => [id, path]);
    const working = ['above', 'writing'].map((name) => node().execute(name, work));
    for (const how of ['kill', 'kill', 'stop', 'kill'] as const) {
      await delay(300);
      await node().replaceBlockDaemon(how);
    }
    await delay(300);
    for (const name of ['above', 'writing']) await node().execute(name, 'touch /stop');
    for (const said of await Promise.all(working)) assert.match(said, /^turns \d+\s*$/);
    assert.deepEqual(
      (await node().state()).devices.map(({ id, path }) => [id, path]),
      devices,
    );
  });

  test('what comes later shares the device, and in the end nothing is left', async () => {
    await node().startContainer(image, 'later');
    assert.equal((await node().execute('later', 'cat /data/replaced')).trim(), 'after');
    assert.equal((await node().attachedDevices()).length, 2);
    for (const name of ['above', 'writing', 'later']) await node().removeContainer(name);
    await node().containerd.ctr('images', 'rm', '--sync', image.reference);
    await node().collectGarbage();
    await node().nothingLeft();
  });
});
