// How devices of the kernel's ublk outlive varve-bd, and how they are closed: daemons that are
// killed or replaced under load, images that are missing for a while, what is half made, what
// belongs to others, and requests that never end.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { close, expectedSum, list, open, readOnlyConfig } from '../../native/block-daemon.ts';
import { chooseSeed, randomNumbers } from '../../native/random.ts';
import { startNode } from '../devices/node.ts';
import { kernelDevices, UblkNode } from '../devices/nodes.ts';
import { skipOutside } from '../inside.ts';
import { run, waitUntil } from '../programs.ts';

const skip = skipOutside('6.12');
const isLong = process.env['VARVE_LONG'] === '1';

test(
  'a device whose image is missing waits until it is back, or is given up',
  { skip },
  async (t) => {
    const node = await startNode(t, UblkNode);
    const layer = join(node.directory, 'layer');
    const { path } = await node.writable('made', 'append-only', '16M');
    const bytes = randomBytes(1 << 20);
    writeFileSync(path, bytes);
    await node.bd.request('commit', { device: 'made', output: layer, algorithm: 'lz4' });
    await close(node.bd, 'made');
    const config = join(node.directory, 'ro.json');
    writeFileSync(config, JSON.stringify({ lowers: [{ file: layer }] }));
    const back = await open(node.bd, config, 'back');
    const lost = await open(node.bd, config, 'lost');

    await node.end('SIGKILL');
    renameSync(layer, `${layer}.away`);
    await node.start();
    await waitUntil(
      'both are known not to be served',
      async () => (await list(node.bd)).filter(({ problem }) => problem !== undefined).length === 2,
    );
    assert.deepEqual(
      (await list(node.bd)).map(({ device, state, path: at }) => [device, state, at]),
      [
        ['back', 'recovering', back.path],
        ['lost', 'recovering', lost.path],
      ],
    );
    await assert.rejects(close(node.bd, 'lost'), { code: 'busy' });
    const read = (device: string): Promise<string> =>
      run('dd', `if=${device}`, 'bs=4k', 'count=1', 'iflag=direct', 'status=none', 'of=/dev/null');
    const givenUp = read(lost.path);
    const kept = read(back.path);
    let isRead = false;
    void kept.then(() => (isRead = true));
    givenUp.catch(() => undefined);
    await delay(300);
    assert.equal(isRead, false);
    assert.equal((await close(node.bd, 'lost', 'abort')).gone, true);
    await assert.rejects(givenUp, /Input\/output error/);
    renameSync(`${layer}.away`, layer);
    await kept;
    await node.recovered(['back']);
    assert.ok(readFileSync(back.path).subarray(0, bytes.length).equals(bytes));
  },
);

test('what is used is not closed, or with its last user, or fails', { skip }, async (t) => {
  const node = await startNode(t, UblkNode);
  const mountPoint = join(node.directory, 'mounted');
  mkdirSync(mountPoint);
  const { path } = await node.writable('rw', 'append-only', '32M');
  await run('mkfs.ext4', '-q', '-F', path);
  await run('mount', path, mountPoint);
  const refused = await close(node.bd, 'rw').then(
    () => undefined,
    (error: unknown) => error as { code: string; users: { kind: string }[]; message: string },
  );
  assert.equal(refused?.code, 'in-use');
  assert.match(refused.message, /mounted at /);
  writeFileSync(join(mountPoint, 'file'), 'still written');

  const detached = await node.bd.request<{ gone: boolean; users: { kind: string }[] }>('close', {
    device: 'rw',
    mode: 'detach',
    patienceMs: 100,
  });
  assert.deepEqual([detached.gone, detached.users.map(({ kind }) => kind)], [false, ['mount']]);
  // What the kernel still holds of it is written first.
  await waitUntil('it is let go of', async () =>
    node.notes.some((name) =>
      readFileSync(join(node.noteDirectory, name), 'utf8').includes('"let-go"'),
    ),
  );
  // Also for the next daemon only the last user is waited for.
  await node.replace('SIGKILL');
  await node.recovered(['rw']);
  assert.equal((await list(node.bd))[0]?.state, 'closing');
  writeFileSync(join(mountPoint, 'file'), 'and again');
  await run('sync', '--file-system', mountPoint);
  await run('umount', mountPoint);
  await waitUntil('it is gone', async () => (await list(node.bd)).length === 0);
  assert.deepEqual(kernelDevices(), []);

  const again = await open(node.bd, join(node.directory, 'rw.json'), 'rw');
  await run('mount', again.path, mountPoint);
  assert.equal(readFileSync(join(mountPoint, 'file'), 'utf8'), 'and again');
  const aborted = await close(node.bd, 'rw', 'abort');
  assert.equal(aborted.gone, false);
  assert.ok(
    aborted.users.some(({ kind }) => kind === 'mount'),
    JSON.stringify(aborted),
  );
  assert.throws(() => readdirSync(join(mountPoint, 'lost+found')), { code: 'EIO' });
  await run('umount', mountPoint);
  await waitUntil('it is gone', async () => (await list(node.bd)).length === 0);
  assert.deepEqual(kernelDevices(), []);
});

test('devices of others and notes of no device are left alone', { skip }, async (t) => {
  const first = await startNode(t, UblkNode);
  const second = await startNode(t, UblkNode);
  const other = await open(second.bd, readOnlyConfig(second.directory), 'other');
  const mine = await open(first.bd, readOnlyConfig(first.directory), 'mine');
  await first.end('SIGKILL');
  await second.end('SIGKILL');
  // What it noted is that of a device of a machine that was started anew since: the number may be
  // the same, and the random number is not.
  const [name = ''] = first.notes;
  const note = readFileSync(join(first.noteDirectory, name), 'utf8');
  const stale = note.replace(/"cookie":\d+/, '"cookie":1');
  writeFileSync(join(first.noteDirectory, `${'0'.repeat(15)}1.json`), stale);
  writeFileSync(join(first.noteDirectory, 'unknown.json'), '{"version":2}');
  await first.start();
  await first.recovered(['mine']);
  assert.deepEqual(
    (await list(first.bd)).map(({ device, path }) => [device, path]),
    [['mine', mine.path]],
  );
  assert.deepEqual(first.notes, [name, 'unknown.json'].toSorted());
  const reading = run('sha256sum', other.path);
  await second.start();
  await second.recovered(['other']);
  assert.equal((await reading).split(' ')[0], expectedSum('stack3'));
});

test('what a killed daemon has half made is gone with the next one', { skip }, async (t) => {
  const random = randomNumbers(chooseSeed(t));
  const node = await startNode(t, UblkNode);
  const config = readOnlyConfig(node.directory);
  for (let kill = 0; kill < (isLong ? 60 : 8); kill += 1) {
    const opening = Array.from({ length: 4 }, (_, at) =>
      open(node.bd, config, `d${at}`).then(
        ({ device }) => device,
        () => undefined,
      ),
    );
    await waitUntil('a device is being made', async () => node.notes.length > 0);
    await delay(random(60));
    await node.end('SIGKILL');
    const opened = (await Promise.all(opening)).filter((device) => device !== undefined);
    await node.start();
    await node.recovered(opened);
    const known = (await list(node.bd)).map(({ device }) => device);
    // Whoever was told of a device has it; one of whom nobody was told may be there as well.
    for (const device of opened) assert.ok(known.includes(device), `${device} of ${String(known)}`);
    assert.equal(kernelDevices().length, known.length);
    for (const device of known) await close(node.bd, device);
  }
  assert.deepEqual([kernelDevices(), node.notes], [[], []]);
});
