// A process that attaches or detaches a device over the kernel's target may end at any step: the
// next one goes on from there, to a device that is complete or to nothing at all.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TransportDevices } from '../../../src/adapters/block-devices/devices.ts';
import { core, deviceId, fakeNode, port, readOnly, snapshotsOf, type FakeNode } from './devices.ts';

class Killed extends Error {}

type Work = 'attach' | 'detach';

const carryOut = (devices: TransportDevices, work: Work) =>
  work === 'attach' ? devices.attach(deviceId, readOnly) : devices.detach(deviceId);

/** Works until the process ends at its n-th crash point; whether it came so far. */
async function killedAt(node: FakeNode, work: Work, place: number): Promise<boolean> {
  let count = 0;
  const devices = node.served(() => {
    count += 1;
    if (count === place) throw new Killed();
  });
  try {
    const result = await carryOut(devices, work);
    assert.ok(result.ok, JSON.stringify(result));
    return false;
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
    return true;
  }
}

async function assertComplete(node: FakeNode): Promise<void> {
  const attached = await node.served().attach(deviceId, readOnly);
  const device = { path: '/dev/sdb', sizeBytes: 65_536 * 512, transport: 'tcmu' };
  assert.deepEqual(attached, { ok: true, value: device });
  const told = { config: node.config, dataArea: '4', timeOut: '2147483', isEnabled: true };
  assert.deepEqual([...node.kernel.cores], [[core, told]]);
  const target = `../../../../../../target/core/${core}`;
  const shown = { name: `dev_${deviceId}`, target };
  const whole = { hasGroup: true, hasUnit: true, nexus: port, link: shown };
  assert.deepEqual(Object.fromEntries(node.kernel.ports), { [port]: whole });
  assert.equal(node.kernel.diskTimeOut, '2147483');
  assert.deepEqual(await node.devices().find(deviceId), { ok: true, value: device });
  const sighted = { deviceId, path: '/dev/sdb' };
  assert.deepEqual(await node.devices().sightings(), { ok: true, value: [sighted] });
}

async function assertGone(node: FakeNode): Promise<void> {
  const detached = await node.served().detach(deviceId);
  assert.ok(detached.ok, JSON.stringify(detached));
  assert.equal(node.kernel.cores.size + node.kernel.ports.size, 0);
  assert.deepEqual(await node.devices().sightings(), { ok: true, value: [] });
}

test('steps are those of overlaybd’s own snapshotter, in their order', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  await assertComplete(node);
  const group = `loopback/${port}/tpgt_1`;
  assert.deepEqual(node.kernel.orders.slice(0, 13), [
    'make-directory core/user_999999999',
    `make-directory core/${core}`,
    `write-attribute core/${core}/control`,
    `write-attribute core/${core}/control`,
    `write-attribute core/${core}/enable`,
    `write-attribute core/${core}/attrib/cmd_time_out`,
    'make-directory loopback',
    `make-directory loopback/${port}`,
    `make-directory ${group}`,
    `make-directory ${group}/lun/lun_0`,
    `write-attribute ${group}/nexus`,
    `make-link ${group}/lun/lun_0/dev_7`,
    'write-attribute /sys/block/sdb/device/timeout',
  ]);
  node.kernel.orders.length = 0;
  await assertGone(node);
  assert.deepEqual(node.kernel.orders, [
    `remove-link ${group}/lun/lun_0/dev_7`,
    `remove-directory ${group}/lun/lun_0`,
    `remove-directory ${group}`,
    `remove-directory loopback/${port}`,
    `remove-directory core/${core}`,
  ]);
});

for (const first of ['attach', 'detach'] as const) {
  for (const second of ['attach', 'detach'] as const) {
    test(`killed at any step of ${first}, then of ${second}: completed, or taken away`, async (t) => {
      const snapshots = snapshotsOf(t);
      let caseCount = 0;
      let isEnough = false;
      for (let place = 1; !isEnough; place += 1) {
        let isPlaced = true;
        for (let next = 1; isPlaced; next += 1) {
          for (const end of [assertComplete, assertGone]) {
            const node = fakeNode(snapshots);
            if (first === 'detach') await assertComplete(node);
            isEnough = !(await killedAt(node, first, place));
            isPlaced = await killedAt(node, second, next);
            await end(node);
            caseCount += 1;
          }
        }
      }
      assert.ok(caseCount > 20, String(caseCount));
    });
  }
}
