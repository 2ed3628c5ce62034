// `varve serve` on a disk that is full: a restart works, what frees space works, and a process that
// goes on filling the disk makes no loop of crashes.
import assert from 'node:assert/strict';
import { rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { reserveSizeBytesDefault } from '../../src/adapters/level/space-guard.ts';
import type { Configuration } from '../../src/config/configuration.ts';
import {
  inspectDefinition,
  snapshotsDefinition as snapshots,
} from '../../src/server/grpc/definitions.ts';
import type { StatusDocument } from '../../src/server/status-document.ts';
import { TestClient } from './client.ts';
import { configurationIn, ServerProcess } from './server-process.ts';
import { smallDisk, type SmallDisk } from './small-disk.ts';

const timeout = 120_000;

type Places = Pick<Configuration, 'root' | 'address' | 'adminAddress'>;

const placesOn = (disk: SmallDisk): Places => ({
  ...configurationIn(disk.scratch),
  root: path.join(disk.path, 'root'),
});

function clientOf(t: TestContext, address: string): TestClient {
  const client = new TestClient(address);
  t.after(() => client.close());
  return client;
}

async function statusOf(t: TestContext, places: Places): Promise<StatusDocument> {
  const { value } = await clientOf(t, places.adminAddress).call(inspectDefinition.status, {});
  return JSON.parse(value?.json ?? '{}') as StatusDocument;
}

const reserveOf = ({ root }: Places): string => path.join(root, 'reserve');

/** Resolves when the whole reserve is taken. */
async function reserveTaken(places: Places): Promise<void> {
  const size = async (): Promise<number> =>
    stat(reserveOf(places)).then(
      (found) => found.size,
      () => 0,
    );
  while ((await size()) < reserveSizeBytesDefault) await pause(20);
}

/** A server with snapshots `0` to `<count - 1>` and its reserve. */
async function serverWith(
  t: TestContext,
  places: Places,
  count: number,
): Promise<{ readonly server: ServerProcess; readonly client: TestClient }> {
  const server = new ServerProcess(t, places);
  await server.serving();
  const client = clientOf(t, places.address);
  for (let key = 0; key < count; key += 1) {
    const prepared = await client.call(snapshots.prepare, { key: `${key}` });
    assert.equal(prepared.code, status.OK, prepared.details);
  }
  await reserveTaken(places);
  return { server, client };
}

async function killed(server: ServerProcess): Promise<void> {
  server.child.kill('SIGKILL');
  await server.exited;
}

describe('a server on a full disk', { timeout }, () => {
  test('starts, answers, removes, and refuses what needs room', async (t) => {
    const disk = await smallDisk(t, { sizeMebibytes: 128 });
    if (disk === undefined) return;
    const places = placesOn(disk);
    const { server } = await serverWith(t, places, 3);
    server.child.kill('SIGTERM');
    await server.exited;
    const filler = await disk.fill();
    await filler.end();
    let rest = reserveSizeBytesDefault;
    for (const key of ['0', '1']) {
      const again = new ServerProcess(t, places);
      await again.serving();
      const client = clientOf(t, places.address);
      assert.equal((await client.call(snapshots.mounts, { key: '2' })).code, status.OK);
      const refused = await client.call(snapshots.prepare, { key: 'new' });
      assert.equal(status[refused.code], 'RESOURCE_EXHAUSTED');
      const removed = await client.call(snapshots.remove, { key });
      assert.equal(status[removed.code], 'OK', removed.details);
      const gone = await client.call(snapshots.stat, { key: '0' });
      assert.equal(status[gone.code], 'NOT_FOUND');
      await killed(again);
      const { size } = await stat(reserveOf(places));
      assert.ok(size > 0 && size <= rest, `of ${rest} bytes ${size} are held`);
      rest = size;
    }
    assert.ok(rest < reserveSizeBytesDefault);
  });

  test('removes although somebody goes on filling the disk', async (t) => {
    const disk = await smallDisk(t, { sizeMebibytes: 128 });
    if (disk === undefined) return;
    const places = placesOn(disk);
    const count = 40;
    const { server, client } = await serverWith(t, places, count);
    const filler = await disk.fill();
    for (let key = 0; key < count / 2; key += 1) {
      const removed = await client.call(snapshots.remove, { key: `${key}` });
      assert.equal(status[removed.code], 'OK', removed.details);
      // Whoever fills the disk gets a turn at what became free.
      await pause(25);
    }
    await killed(server);
    // The room that is lent to a start may go to somebody else: then it waits, and does not end.
    const restarted = new ServerProcess(t, places);
    await restarted.says(/^(serving|not serving: there is no room)/);
    await filler.end();
    await restarted.serving();
    const again = clientOf(t, places.address);
    for (let key = count / 2; key < count; key += 1) {
      const removed = await again.call(snapshots.remove, { key: `${key}` });
      assert.equal(status[removed.code], 'OK', removed.details);
    }
    assert.equal((await again.call(snapshots.stat, { key: '0' })).code, status.NOT_FOUND);
  });

  test('without any room waits for it, says so, and then serves by itself', async (t) => {
    const disk = await smallDisk(t, { sizeMebibytes: 128 });
    if (disk === undefined) return;
    const places = placesOn(disk);
    const { server } = await serverWith(t, places, 1);
    await killed(server);
    await rm(reserveOf(places));
    const filler = await disk.fill();
    const waiting = new ServerProcess(t, places);
    await waiting.says(/^not serving: there is no room .*: free space on its file system/);
    const { condition, problem, space } = await statusOf(t, places);
    assert.equal(condition, 'disk-full');
    assert.match(problem ?? '', /no room .*free space .*tries again by itself/);
    assert.equal(space.isLow, true);
    const client = clientOf(t, places.address);
    const refused = await client.call(snapshots.stat, { key: '0' });
    assert.equal(status[refused.code], 'UNAVAILABLE');
    assert.match(refused.details, /no room/);
    await filler.end();
    await filler.clear();
    await waiting.serving();
    assert.equal((await client.call(snapshots.stat, { key: '0' })).code, status.OK);
    waiting.child.kill('SIGTERM');
    assert.deepEqual(await waiting.exited, { code: 0, signal: null });
  });
});
