// varve-bd that never answers, that is not there, that gives no device: each call ends with what is
// wrong, and all goes on when it is over.
import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { waitUntil } from '../e2e/lab/service.ts';
import { BlockNode, top } from '../cli/block-node.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { devicesOf } from './devices.ts';
import {
  assertNothingAttached,
  assertRefused,
  assertRemoved,
  assertWhy,
  assertWorks,
  failuresOf,
  mountPointOf,
} from './faulty-node.ts';

const box = 'default/3/box';
const other = 'default/3/other';

describe(
  'the daemon of block devices',
  { skip: deviceObstacle() ?? false, timeout: 120_000 },
  () => {
    let node: BlockNode;
    const signal = (name: NodeJS.Signals): void =>
      void process.kill(node.blockDaemon.service.pid, name);

    before(async () => {
      node = await BlockNode.start({ lingerMs: 0 });
      await node.unpackLayers();
      // One that is stopped could not end.
      node.scratch.defer(async () => {
        if (node.blockDaemon.service.isRunning()) signal('SIGCONT');
      });
    });
    after(() => node?.scratch.dispose());

    test('one that never answers an attach: UNAVAILABLE, recorded, and nothing left', async () => {
      signal('SIGSTOP');
      const refused = await node.tryPrepare(box, top);
      signal('SIGCONT');
      assertRefused(
        refused,
        'UNAVAILABLE',
        /varve-bd does not answer \(no answer\): look at its log/,
      );
      await assertWhy(node, box, /it failed: .*varve-bd does not answer/);
      assert.match(
        (await failuresOf(node, 'device-2')).join('\n'),
        /DeviceAttachFailed: ECONNREFUSED/,
      );
      await assertWorks(node);
    });

    test('one that never answers holds up no call that needs no device of it', async () => {
      await node.prepare(box, top);
      signal('SIGSTOP');
      const mounts = await node.tryMounts(box);
      // It is there for others already.
      const shared = await node.tryPrepare(other, top);
      signal('SIGCONT');
      assert.deepEqual([mounts.code, shared.code], [0, 0]);
      await assertRemoved(node, other);
    });

    test('one that never answers at a start: it serves, and devices stay as they are', async () => {
      const before = await devicesOf(node);
      assert.equal(before.length, 1);
      signal('SIGSTOP');
      await node.restart('SIGKILL');
      const mounts = await node.tryMounts(box);
      signal('SIGCONT');
      assert.equal(mounts.code, 0, mounts.details);
      assert.deepEqual(await devicesOf(node), before);
      assert.equal(readFileSync(path.join(mountPointOf(node, 2), 'top'), 'utf8'), 'top\n');
    });

    test('R-02b: one that never answers a detach: Remove succeeds, and the device goes later', async () => {
      signal('SIGSTOP');
      await assertRemoved(node, box);
      await waitUntil('the detach has failed', async () =>
        (await failuresOf(node, 'device-2')).some((failure) =>
          /^DeviceDetachFailed: .*does not answer/.test(failure),
        ),
      );
      signal('SIGCONT');
      await assertNothingAttached(node);
      await assertWorks(node);
    });

    test('one that is not there: UNAVAILABLE says to start it', async () => {
      await node.blockDaemon.service.stop();
      const refused = await node.tryPrepare(box, top);
      assertRefused(refused, 'UNAVAILABLE', /varve-bd does not run there: start it \(.*bd\.sock\)/);
      await assertWhy(node, box, /it failed: .*does not run there/);
      await node.restartBlockDaemon();
      await assertWorks(node);
    });

    test('one that is away where it need not be there still has its devices', async () => {
      await node.prepare(box, top);
      await node.blockDaemon.service.stop();
      node.configure({ transport: 'tcmu' });
      await node.restart();
      await assertRemoved(node, box);
      await waitUntil('the detach has failed', async () =>
        (await failuresOf(node, 'device-2')).some((failure) =>
          /^DeviceDetachFailed: ECONNREFUSED .*does not run there: start it/.test(failure),
        ),
      );
      const { stdout } = await node.ask('events', '--stream', 'device-2', '--json');
      assert.doesNotMatch(stdout, /"DeviceLost"/);
      await node.startBlockDaemon();
      await assertNothingAttached(node);
      node.configure({ transport: 'auto' });
      await node.restart();
      await assertWorks(node);
    });

    test('one that dies: its devices are attached again for those who lease them', async () => {
      await node.prepare(box, top);
      await node.restartBlockDaemon();
      // Until then its files may come from the kernel's cache.
      const history = async (): Promise<string> =>
        (await node.ask('events', '--stream', 'device-2', '--json')).stdout;
      await waitUntil('its loss is noticed, and it is there again', async () =>
        /"DeviceLost".*"DeviceMounted"/s.test(
          (await history()).split('"DeviceLeased"').at(-1) ?? '',
        ),
      );
      assert.equal(readFileSync(path.join(mountPointOf(node, 2), 'top'), 'utf8'), 'top\n');
      await assertRemoved(node, box);
      await assertNothingAttached(node);
    });

    test('R-03, R-05b: a device that never appears since its layer is damaged: what varve-bd says of it', async () => {
      const layer = path.join(node.root, 'snapshots', '2', 'fs', 'overlaybd.commit');
      renameSync(layer, `${layer}.away`);
      writeFileSync(layer, Buffer.alloc(65_536));
      const refused = await node.tryPrepare(box, top);
      renameSync(`${layer}.away`, layer);
      assertRefused(refused, 'UNKNOWN', /open failed with EIO: varve-bd: .*overlaybd\.commit/);
      await assertWhy(node, box, /it failed: .*overlaybd\.commit/);
      await assertWorks(node);
    });
  },
);
