// Leases by chance, against real devices: clients prepare, look, write, commit and remove on shared
// chains, several at a time, while varve serve is killed now and then. A leased device is never
// detached, no chain has two, what was answered is there, and in the end nothing is left.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as rest } from 'node:timers/promises';
import { base, BlockNode, top } from '../cli/block-node.ts';
import { mountsBelow } from '../e2e/lab/scratch.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { devicesOf } from '../faults/devices.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { chooseSeed, randomNumbers } from '../native/random.ts';
import { Clients } from './clients.ts';

const isLong = process.env['VARVE_LONG'] === '1';
const roundCount = isLong ? 200 : 12;
/** One round in so many meets a kill. */
const killEvery = 4;

/** At any moment of what is under way then. */
const killWithinMs = 80;

interface Recorded {
  readonly stream: string;
  readonly type: string;
  readonly data: { readonly snapshotId?: number };
}

/** What the log must never tell of one device. */
function assertLeasesHeld(stream: string, events: readonly Recorded[]): void {
  const leases = new Set<number>();
  let isAttached = false;
  let isUndoing = false;
  for (const { type, data } of events) {
    if (type === 'DeviceLeased') leases.add(data.snapshotId ?? 0);
    if (type === 'DeviceReleased') leases.delete(data.snapshotId ?? 0);
    if (type === 'DeviceAttachFailed') isUndoing = true;
    if (type === 'DeviceDetachStarted') {
      assert.equal(leases.size, 0, `${stream}: what is leased is not begun to be detached`);
    }
    if (type === 'DeviceAttached') {
      assert.ok(!isAttached, `${stream}: one chain has one device`);
      isAttached = true;
      isUndoing = false;
    }
    if (type === 'DeviceDetached' || type === 'DeviceLost') isAttached = false;
    if (type === 'DeviceLost') assert.fail(`${stream}: no device is lost`);
  }
  assert.ok(!isUndoing, `${stream}: nothing failed`);
}

describe('leases', { skip: deviceObstacle() ?? false, timeout: 1_500_000 }, () => {
  let node: BlockNode;

  before(async () => {
    node = await BlockNode.start({ lingerMs: 0 });
    await node.unpackLayers();
  });
  after(() => node?.scratch.dispose());

  async function eventsByDevice(): Promise<ReadonlyMap<string, readonly Recorded[]>> {
    const { code, stdout, stderr } = await node.ask('events', '--json');
    assert.equal(code, 0, stderr);
    const events = stdout.split('\n').filter(Boolean);
    const parsed = events.map((line) => JSON.parse(line) as Recorded);
    return Map.groupBy(
      parsed.filter(({ stream }) => stream.startsWith('device-')),
      ({ stream }) => stream,
    );
  }

  const countOf = async (type: string, stream: string): Promise<number> =>
    ((await eventsByDevice()).get(stream) ?? []).filter((event) => event.type === type).length;

  const assertOneDeviceEach = async (): Promise<void> => {
    const sources = (await devicesOf(node)).map(({ device }) => device);
    assert.equal(new Set(sources).size, sources.length);
    const places = mountsBelow(path.join(node.root, 'snapshots'));
    assert.equal(new Set(places).size, places.length, 'nothing is mounted twice');
  };

  test('hold whatever clients do, and whenever varve serve dies', async (t) => {
    const random = randomNumbers(chooseSeed(t));
    const clients = new Clients(node, random);

    const attachCount = await countOf('DeviceAttached', 'device-2');
    await clients.burst(top, 8);
    const firstOnes = (await countOf('DeviceAttached', 'device-2')) - attachCount;
    assert.equal(firstOnes, 1, 'first containers at once are one attach');

    for (let round = 0; round < roundCount; round += 1) {
      const busy = new Set<string>();
      const isKilled = round % killEvery === killEvery - 1;
      const acting = Promise.allSettled(Array.from({ length: 6 }, () => clients.act(busy)));
      if (isKilled) {
        await rest(random(killWithinMs));
        await node.restart('SIGKILL');
      }
      for (const one of await acting) if (one.status === 'rejected') throw one.reason;
      await assertOneDeviceEach();
      if (isKilled) await clients.check();
    }

    await clients.check();
    await clients.removeAll();
    await waitUntil('nothing is left', async () => {
      const directories = readdirSync(path.join(node.root, 'snapshots'));
      const isEmpty = mountsBelow(node.scratch.path).length === 0 && directories.length === 2;
      return isEmpty && (await devicesOf(node)).length === 0;
    });
    const streams = await eventsByDevice();
    assert.ok(streams.size > 1);
    for (const [stream, events] of streams) assertLeasesHeld(stream, events);
    const { code } = await node.remove(top);
    assert.equal(code, 0);
    assert.equal((await node.remove(base)).code, 0);
  });
});
