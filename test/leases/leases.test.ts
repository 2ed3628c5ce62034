// Leases by chance, against real devices: clients prepare, look, write, commit and remove on shared
// chains, several at a time, while varve serve is killed now and then. After each round all that
// was answered works, each has the device that it had, no chain has two, and there is no other.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as rest } from 'node:timers/promises';
import { base, BlockNode, top } from '../cli/block-node.ts';
import { mountsBelow } from '../e2e/lab/scratch.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { chooseSeed, randomNumbers } from '../native/random.ts';
import { Clients } from './clients.ts';
import { World } from './world.ts';

const isLong = process.env['VARVE_LONG'] === '1';
const roundCount = isLong ? 200 : 12;
/** One round in so many meets a kill. */
const killEvery = 4;

/** At any moment of what is under way then. */
const killWithinMs = 80;

describe('leases', { skip: deviceObstacle() ?? false, timeout: 1_500_000 }, () => {
  let node: BlockNode;

  before(async () => {
    node = await BlockNode.start({ lingerMs: 0 });
    await node.unpackLayers();
  });
  after(() => node?.scratch.dispose());

  async function countOf(type: string): Promise<number> {
    const { code, stdout, stderr } = await node.ask('events', '--json');
    assert.equal(code, 0, stderr);
    const events = stdout.split('\n').filter(Boolean);
    return events.filter((line) => (JSON.parse(line) as { readonly type: string }).type === type)
      .length;
  }

  test('hold whatever clients do, and whenever varve serve dies', async (t) => {
    const random = randomNumbers(chooseSeed(t));
    const clients = new Clients(node, random);
    const world = new World(node);
    const kill = async (): Promise<void> => {
      await rest(random(killWithinMs));
      await node.restart('SIGKILL');
    };

    await clients.burst(top, 8);
    assert.equal(await countOf('DeviceAttached'), 1, 'first containers at once are one attach');
    await world.check(await clients.check());

    for (let round = 0; round < roundCount; round += 1) {
      await clients.round(6, round % killEvery === killEvery - 1 ? kill : undefined);
      await world.check(await clients.check());
    }

    await clients.removeAll();
    await world.check([]);
    await waitUntil('nothing is left', async () => {
      const directories = readdirSync(path.join(node.root, 'snapshots'));
      return mountsBelow(node.scratch.path).length === 0 && directories.length === 2;
    });
    for (const type of ['DeviceAttachFailed', 'DeviceDetachFailed', 'DeviceLost']) {
      assert.equal(await countOf(type), 0, type);
    }
    const { code } = await node.remove(top);
    assert.equal(code, 0);
    assert.equal((await node.remove(base)).code, 0);
  });
});
