// Devices outlive varve-bd, by every transport: it is killed and replaced while they are used, and
// whoever uses them waits and is right.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { expectedSum, list, readOnlyConfig } from '../../native/block-daemon.ts';
import { chooseSeed, randomNumbers } from '../../native/random.ts';
import { readAndCompare, writeAndVerify } from '../load.ts';
import { run } from '../programs.ts';
import { transportsHere, type Transport } from '../transports.ts';
import { startOver } from './nodes.ts';

const isLong = process.env['VARVE_LONG'] === '1';

function testLife(transport: Transport): void {
  test(`over ${transport} kills and upgrades under load lose and fail nothing`, async (t) => {
    const kills = isLong ? 50 : 6;
    const random = randomNumbers(chooseSeed(t));
    const node = await startOver(transport, t);
    const { path } = await node.writable('1', 'append-only', '64M');
    const read = await node.attach('2', readOnlyConfig(node.directory));
    const loads = [writeAndVerify(path), readAndCompare(read, expectedSum('stack3'))];
    for (let kill = 0; kill < kills && loads.every((load) => load.isRunning()); kill += 1) {
      await delay(300 + random(1500));
      // Every third time it is replaced in order.
      await node.end(kill % 3 === 1 ? 'SIGTERM' : 'SIGKILL');
      await delay(random(300));
      await node.start();
      await node.recovered(['1', '2']);
      const states = (await list(node.bd)).map(({ state }) => state);
      assert.deepEqual(states, ['open', 'open']);
    }
    for (const load of loads) await load.stop();
    assert.doesNotMatch(await run('dmesg'), /Invalid addr to data page|BUG: |Oops/);
    for (const name of ['1', '2']) await node.detach(name);
    assert.deepEqual(await node.left(), []);
  });

  test(`over ${transport} a daemon that ends leaves its devices to the next one`, async (t) => {
    const node = await startOver(transport, t);
    const { path } = await node.writable('1', 'append-only', '64M');
    const mountPoint = join(node.directory, 'mounted');
    mkdirSync(mountPoint);
    await run('mkfs.ext4', '-q', '-F', path);
    await run('mount', path, mountPoint);
    const bytes = randomBytes(8 << 20);
    writeFileSync(join(mountPoint, 'unsynced'), bytes);

    const [before] = await list(node.bd);
    assert.equal(await node.end('SIGTERM'), 0);
    assert.deepEqual(node.daemon.said(/users get errors/), []);
    let isSynced = false;
    const syncing = run('sync', '--file-system', mountPoint).then(() => (isSynced = true));
    await delay(500);
    assert.equal(isSynced, false);
    await node.start();
    await syncing;
    const [listed] = await list(node.bd);
    assert.deepEqual(
      [listed?.state, listed?.transport, listed?.path],
      ['open', transport, before?.path],
    );
    await run('umount', mountPoint);
    await run('e2fsck', '-f', '-n', path);
    await run('mount', '--read-only', path, mountPoint);
    assert.ok(readFileSync(join(mountPoint, 'unsynced')).equals(bytes));
    await run('umount', mountPoint);
    await node.detach('1');
    assert.deepEqual(await node.left(), []);
  });
}

for (const transport of transportsHere()) testLife(transport);
