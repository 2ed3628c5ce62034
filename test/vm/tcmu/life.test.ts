// How disks of the kernel's target come and go with varve-bd: opens that fail or hang, daemons that
// die or end while disks are used, and what waits meanwhile.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import {
  client,
  close,
  createUpper,
  list,
  open,
  readOnlyConfig,
  start,
  fixtures,
  expectedSum,
} from '../../native/block-daemon.ts';
import { writeConfig } from '../../native/layer-tool.ts';
import { chooseSeed, randomNumbers } from '../../native/random.ts';
import { hangingDirectory } from '../hanging-directory.ts';
import { skipOutside } from '../inside.ts';
import { readAndCompare, writeAndVerify } from '../load.ts';
import { run, waitUntil } from '../programs.ts';
import {
  attach,
  detach,
  deviceName,
  enable,
  expose,
  isNetlinkBlocked,
  reconfigure,
} from './disks.ts';
import { TargetDaemon } from './target.ts';

const skip = skipOutside('6.1');
const isLong = process.env['VARVE_LONG'] === '1';

const writable = (directory: string, name: string, size: string): string =>
  writeConfig(join(directory, `${name}.json`), {
    upper: createUpper(directory, name, 'append-only', size),
  });

test('an open that fails says why, and can be tried again', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const { directory } = node;
  const bd = await node.client();
  const config = join(directory, 'later.json');
  await assert.rejects(enable('1', `overlaybd/${config}`), { code: 'ENOENT' });
  await assert.rejects(enable('2', 'overlaybd/relative.json'), { code: 'EINVAL' });
  const resultFile = join(directory, 'result');
  const lowers = [{ file: join(directory, 'missing') }];
  writeConfig(config, { lowers, resultFile });
  await assert.rejects(enable('1', `overlaybd/${config}`), { code: 'ENOENT' });
  assert.match(readFileSync(resultFile, 'utf8'), /^failed:.*missing/);
  writeFileSync(join(directory, 'missing'), 'no layer');
  await assert.rejects(enable('1', `overlaybd/${config}`), { code: 'EINVAL' });

  const upper = writable(directory, 'rw', '16M');
  await attach('3', upper);
  await assert.rejects(enable('4', `overlaybd/${upper}`), { code: 'EBUSY' });
  assert.deepEqual(
    (await list(bd)).map(({ device }) => device),
    [deviceName('3')],
  );

  readOnlyConfig(directory, 'later', { resultFile });
  await enable('1', `overlaybd/${config}`);
  assert.equal(readFileSync(resultFile, 'utf8'), 'success');
  const { path } = await expose('1');
  assert.equal(await run('blockdev', '--getsize64', path), String(20 << 20));
  // Whose configuration begins otherwise is somebody else's: varve-bd says nothing to it.
  for (const id of ['1', '2', '3', '4']) await detach(id);
  assert.deepEqual(await list(bd), []);
  // What was locked is free when the kernel has let go.
  await open(bd, upper, 'again');
});

test('one that hangs among twenty delays nobody, and gets an answer', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const bd = await node.client();
  const hanging = join(node.directory, 'hanging');
  const { letGo } = await hangingDirectory(t, hanging);
  const config = readOnlyConfig(node.directory);
  let isAnswered = false;
  const slow = enable('99', `overlaybd/${hanging}/config.v1.json`).finally(() => {
    isAnswered = true;
  });
  slow.catch(() => undefined);
  const ids = Array.from({ length: 19 }, (_, at) => String(at + 1));
  const disks = await Promise.all(ids.map((id) => attach(id, config)));
  await Promise.all(disks.map(({ path }) => run('dd', `if=${path}`, 'of=/dev/null', 'bs=1M')));
  assert.equal(isAnswered, false);
  await Promise.all(ids.map(detach));
  const left = await list(bd);
  assert.deepEqual(
    left.map(({ device, state }) => [device, state]),
    [[deviceName('99'), 'opening']],
  );
  letGo();
  await assert.rejects(slow, { code: 'ENOTCONN' });
  await run('umount', hanging);
});

test('kills and upgrades under load lose nothing and fail nothing', { skip }, async (t) => {
  const kills = isLong ? 60 : 6;
  const random = randomNumbers(chooseSeed(t));
  const node = await TargetDaemon.start(t);
  const { path } = await attach('1', writable(node.directory, 'rw', '64M'));
  const read = await attach('2', readOnlyConfig(node.directory));
  const loads = [writeAndVerify(path), readAndCompare(read.path, expectedSum('stack3'))];
  for (let kill = 0; kill < kills && loads.every((load) => load.isRunning()); kill += 1) {
    await delay(500 + random(1500));
    // Every third time it is replaced in order.
    await node.end(kill % 3 === 1 ? 'SIGTERM' : 'SIGKILL');
    await delay(random(300));
    const bd = await node.start();
    await waitUntil(
      'the devices are served again',
      async () => (await list(bd)).filter(({ state }) => state === 'open').length === 2,
    );
  }
  for (const load of loads) await load.stop();
  assert.doesNotMatch(await run('dmesg'), /Invalid addr to data page|BUG: |Oops/);
  for (const id of ['1', '2']) await detach(id);
});

test('a daemon that ends leaves its disks to the next one', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const { directory } = node;
  const config = writable(directory, 'rw', '64M');
  const { path } = await attach('1', config);
  const mountPoint = join(directory, 'mounted');
  mkdirSync(mountPoint);
  await run('mkfs.ext4', '-q', '-F', path);
  await run('mount', path, mountPoint);
  const bytes = randomBytes(8 << 20);
  writeFileSync(join(mountPoint, 'unsynced'), bytes);

  assert.equal(await node.end('SIGTERM'), 0);
  assert.deepEqual(node.daemon.said(/users get errors/), []);
  // Whoever wants a device is told to try again, instead of waiting for nobody.
  assert.equal(isNetlinkBlocked(), true);
  await assert.rejects(enable('2', `overlaybd/${config}`), { code: 'EAGAIN' });
  const syncing = run('sync', '--file-system', mountPoint);
  let isSynced = false;
  void syncing.then(() => (isSynced = true));
  await delay(500);
  assert.equal(isSynced, false);

  await node.start();
  await syncing;
  assert.equal(isNetlinkBlocked(), false);
  await run('umount', mountPoint);
  await run('e2fsck', '-f', '-n', path);
  await run('mount', '--read-only', path, mountPoint);
  assert.ok(readFileSync(join(mountPoint, 'unsynced')).equals(bytes));
  await run('umount', mountPoint);
  await detach('1');
});

const readOnce = (path: string): Promise<string> =>
  run('dd', `if=${path}`, 'of=/dev/null', 'bs=4k', 'count=1', 'iflag=direct');

test('a disk whose image is gone after a restart waits until it is back', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const { directory } = node;
  const resultFile = join(directory, 'result');
  const config = readOnlyConfig(directory, 'image', { resultFile });
  const { path } = await attach('1', config);
  await node.end('SIGKILL');
  renameSync(config, `${config}.away`);
  let bd = await node.start();
  const waits = async (): Promise<void> =>
    waitUntil('the device waits', async () =>
      (await list(bd)).some(({ state, problem = '' }) => state === 'recovering' && problem !== ''),
    );
  await waits();
  const [device] = await list(bd);
  assert.deepEqual([device?.device, device?.transport], [deviceName('1'), 'tcmu']);
  assert.match(device?.problem ?? '', /image\.json/);
  let isRead = false;
  const reading = readOnce(path).then(() => (isRead = true));
  await delay(300);
  assert.equal(isRead, false);
  renameSync(`${config}.away`, config);
  await reading;
  assert.equal(readFileSync(resultFile, 'utf8'), 'success');

  // One with another size is not what its users have.
  await node.end('SIGKILL');
  const other = JSON.parse(readFileSync(config, 'utf8')) as object;
  writeConfig(config, { lowers: [{ file: `${fixtures}lsmt-raw/layer.lsmt` }], resultFile });
  bd = await node.start();
  await waits();
  assert.match((await list(bd))[0]?.problem ?? '', /has 40960 sectors .* its image has \d+ bytes/);
  writeConfig(config, other);
  await readOnce(path);

  // One that is given up fails until it is removed, and removing one that waits hangs nobody.
  await node.end('SIGKILL');
  writeConfig(config, { lowers: [{ file: join(directory, 'missing') }], resultFile });
  bd = await node.start();
  await waits();
  assert.match(readFileSync(resultFile, 'utf8'), /^failed:.*missing/);
  assert.equal((await close(bd, deviceName('1'), 'abort')).gone, true);
  await assert.rejects(readOnce(path), /Input\/output error/);
  await node.end('SIGKILL');
  bd = await node.start();
  await waits();
  await detach('1');
  assert.deepEqual(await list(bd), []);
});

test('what the target would change of a device is refused', { skip }, async (t) => {
  const node = await TargetDaemon.start(t);
  const { path } = await attach('1', readOnlyConfig(node.directory));
  await assert.rejects(reconfigure('1', 'dev_size', '1048576'), { code: 'ENOTSUP' });
  await readOnce(path);
  assert.equal(await run('blockdev', '--getsize64', path), String(20 << 20));
  await detach('1');
});

const skipShort = isLong ? skip : 'takes a minute: long form';

test('an open that hangs is answered after a minute', { skip: skipShort }, async (t) => {
  const node = await TargetDaemon.start(t);
  const bd = await node.client();
  const hanging = join(node.directory, 'hanging');
  const { letGo } = await hangingDirectory(t, hanging);
  await assert.rejects(enable('1', `overlaybd/${hanging}/config.v1.json`), { code: 'ETIMEDOUT' });
  assert.deepEqual(
    (await list(bd)).map(({ state }) => state),
    ['opening'],
  );
  letGo();
  await waitUntil('nothing is left of it', async () => (await list(bd)).length === 0);
  await run('umount', hanging);
});

test('a disk with a read that never ends is aborted alone', { skip }, async (t) => {
  const stopped: { goOn?: () => void } = {};
  // Before anything is taken down that waits for it.
  t.after(() => stopped.goOn?.());
  const node = await TargetDaemon.start(t);
  const { directory } = node;
  // Files on a device whose daemon stands still hang whoever reads them.
  const below = await start(t, join(directory, 'below/bd.sock'));
  const base = await open(await client(t, below), writable(directory, 'base', '32M'), 'base');
  const slow = join(directory, 'slow');
  mkdirSync(slow);
  await run('mkfs.ext4', '-q', '-F', base.path);
  await run('mount', base.path, slow);
  const hanging = await attach('1', writable(slow, 'rw', '8M'));
  await run('dd', 'if=/dev/urandom', `of=${hanging.path}`, 'bs=1M', 'count=4', 'oflag=direct');
  const fine = await attach('2', readOnlyConfig(directory));
  await run('sync');
  writeFileSync('/proc/sys/vm/drop_caches', '3');

  below.child.kill('SIGSTOP');
  stopped.goOn = () => below.child.kill('SIGCONT');
  let isOver = false;
  const reading = readOnce(hanging.path).finally(() => (isOver = true));
  reading.catch(() => undefined);
  await delay(500);
  assert.equal(isOver, false);
  await readOnce(fine.path);
  await close(await node.client(), deviceName('1'), 'abort');
  await assert.rejects(reading, /Input\/output error/);
  await assert.rejects(readOnce(hanging.path), /Input\/output error/);
  await readOnce(fine.path);

  stopped.goOn();
  await detach('1');
  await detach('2');
  await waitUntil(
    'nothing is left of it',
    async () => (await list(await node.client())).length === 0,
  );
  await run('umount', slow);
  await close(await client(t, below), 'base');
});

test('hundreds of disks come, outlive a daemon and go', { skip }, async (t) => {
  const count = isLong ? 300 : 24;
  const node = await TargetDaemon.start(t);
  const config = readOnlyConfig(node.directory);
  const ids = Array.from({ length: count }, (_, at) => String(at + 1));
  const disks = await Promise.all(ids.map((id) => attach(id, config)));
  await node.end('SIGKILL');
  const bd = await node.start();
  for (const { path } of disks) await readOnce(path);
  await waitUntil('all are served again', async () =>
    (await list(bd)).every(({ state }) => state === 'open'),
  );
  assert.equal((await list(bd)).length, count);
  await Promise.all(ids.map(detach));
  assert.deepEqual(await list(bd), []);
});
