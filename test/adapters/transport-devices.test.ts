// One set of devices over several transports: whichever has a device has it, the configured one
// attaches the next, and what one of them has begun is in no other's way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TransportDevices } from '../../src/adapters/block-devices/devices.ts';
import type { DeviceTransport } from '../../src/adapters/block-devices/transport.ts';
import { HelperPool } from '../../src/adapters/helper-pool/pool.ts';
import type { EffectResult } from '../../src/engine/ports.ts';
import type { DevicePlan } from '../../src/machines/device/events.ts';

const plan: DevicePlan = {
  ...{ access: 'readOnly', writableLayer: null, mount: 'readOnly', fileSystem: 'ext4' },
  ...{ mountOptions: '', formatArguments: null },
};

const done = { ok: true, value: undefined } as const;

/** Devices that are only remembered, by some transports. */
class Remembered implements DeviceTransport {
  readonly offered: string[];
  readonly has = new Map<number, string>();
  /** Begun, and not attached. */
  readonly begun = new Set<number>();
  failure: { step: string; code: string; message: string } | undefined;

  constructor(...offered: string[]) {
    this.offered = offered;
  }

  async offers(): Promise<EffectResult<readonly string[]>> {
    return this.#answer(this.offered);
  }

  async find(deviceId: number) {
    const transport = this.has.get(deviceId);
    return this.#answer(transport === undefined ? undefined : deviceOf(deviceId, transport));
  }

  async attach(deviceId: number, _: DevicePlan, transport: string) {
    this.has.set(deviceId, transport);
    return this.#answer(deviceOf(deviceId, transport));
  }

  async detach(deviceId: number): Promise<EffectResult<void>> {
    this.has.delete(deviceId);
    this.begun.delete(deviceId);
    return done;
  }

  async sightings() {
    const attached = [...this.has].map(([deviceId, transport]) => ({
      deviceId,
      path: deviceOf(deviceId, transport).path,
    }));
    const parts = [...this.begun].map((deviceId) => ({ deviceId, path: null }));
    return this.#answer([...attached, ...parts]);
  }

  #answer<Value>(value: Value): EffectResult<Value> {
    return this.failure === undefined ? { ok: true, value } : { ok: false, failure: this.failure };
  }
}

const deviceOf = (deviceId: number, transport: string) => ({
  ...{ path: `/dev/${transport}${deviceId}`, sizeBytes: 512, transport },
});

function devicesOver(transport: 'auto' | 'ublk' | 'tcmu' | 'fuse', ...daemonOffers: string[]) {
  const daemon = new Remembered(...daemonOffers);
  const target = new Remembered('tcmu');
  const over = (wanted: typeof transport): TransportDevices =>
    new TransportDevices({
      ...{ daemon, target, transport: wanted, snapshotsPath: '/nowhere/s', deadlineMs: 1_000 },
      pool: new HelperPool({ program: '/bin/false' }),
      makeWritableLayer: async () => ({ ok: true, value: undefined }),
      logger: { warn: () => undefined },
    });
  return { daemon, target, devices: over(transport), over };
}

test('auto takes the first of ublk, tcmu and fuse that there is at the moment of the attach', async () => {
  const { daemon, target, devices } = devicesOver('auto', 'fuse', 'ublk');
  const by = async (deviceId: number): Promise<string> => {
    const attached = await devices.attach(deviceId, plan);
    assert.ok(attached.ok);
    return attached.value.transport;
  };
  assert.equal(await by(1), 'ublk');
  daemon.offered.splice(0, 2, 'fuse');
  assert.equal(await by(2), 'tcmu');
  target.offered.length = 0;
  assert.equal(await by(3), 'fuse');
  daemon.offered.length = 0;
  const none = await devices.attach(4, plan);
  assert.ok(!none.ok);
  assert.match(none.failure.message, /no transport for block devices: varve doctor/);
  assert.deepEqual([...daemon.has.keys(), ...target.has.keys()], [1, 3, 2]);
});

test('one that is attached is taken as it is, and goes from where it is', async () => {
  const { daemon, target, devices, over } = devicesOver('tcmu', 'fuse');
  assert.deepEqual(await devices.attach(1, plan), { ok: true, value: deviceOf(1, 'tcmu') });
  const later = over('fuse');
  assert.deepEqual(await later.attach(1, plan), { ok: true, value: deviceOf(1, 'tcmu') });
  assert.deepEqual(await later.attach(2, plan), { ok: true, value: deviceOf(2, 'fuse') });
  assert.deepEqual(await later.observe(new Map()), {
    ok: true,
    value: [
      { deviceId: 2, path: '/dev/fuse2', isMounted: false },
      { deviceId: 1, path: '/dev/tcmu1', isMounted: false },
    ],
  });
  assert.ok((await later.detach(1)).ok);
  assert.ok((await devices.detach(2)).ok);
  assert.equal(daemon.has.size + target.has.size, 0);
});

test('what a predecessor has begun by another transport is taken away first', async () => {
  const { daemon, target, devices } = devicesOver('fuse', 'fuse');
  target.begun.add(1);
  assert.ok((await devices.attach(1, plan)).ok);
  assert.equal(target.begun.size, 0);
  assert.equal(daemon.has.get(1), 'fuse');
});

test('while one of them cannot be asked nothing is attached, and nothing counts as lost', async () => {
  const { daemon, target, devices } = devicesOver('tcmu', 'fuse');
  daemon.failure = { step: 'list', code: 'ECONNREFUSED', message: 'it does not run' };
  assert.ok(!(await devices.attach(1, plan)).ok);
  assert.ok(!(await devices.observe(new Map())).ok);
  assert.equal(target.has.size, 0);
});
