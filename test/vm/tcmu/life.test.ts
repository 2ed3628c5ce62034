// How disks of the kernel's target come and go: opens that fail or hang, images that are gone after
// a restart, reads that never end, and hundreds of disks at once.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
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
} from '../../native/block-daemon.ts';
import { writeConfig } from '../../native/layer-tool.ts';
import { hangingDirectory } from '../hanging-directory.ts';
import { startNode } from '../devices/node.ts';
import { TargetNode } from '../devices/nodes.ts';
import { skipOutside } from '../inside.ts';
import { run, waitUntil } from '../programs.ts';
import { attach, detach, deviceName, enable, expose } from './disks.ts';

const skip = skipOutside('6.1');
const isLong = process.env['VARVE_LONG'] === '1';

const writable = (directory: string, name: string, size: string): string =>
  writeConfig(join(directory, `${name}.json`), {
    upper: createUpper(directory, name, 'append-only', size),
  });

test('an open that fails says why, and can be tried again', { skip }, async (t) => {
  const node = await startNode(t, TargetNode);
  const { directory } = node;
  const { bd } = node;
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
  const node = await startNode(t, TargetNode);
  const { bd } = node;
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

const readOnce = (path: string): Promise<string> =>
  run('dd', `if=${path}`, 'of=/dev/null', 'bs=4k', 'count=1', 'iflag=direct');

test('a disk whose image is gone after a restart waits until it is back', { skip }, async (t) => {
  const node = await startNode(t, TargetNode);
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

const skipShort = isLong ? skip : 'takes a minute: long form';

test('an open that hangs is answered after a minute', { skip: skipShort }, async (t) => {
  const node = await startNode(t, TargetNode);
  const { bd } = node;
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
  const node = await startNode(t, TargetNode);
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
  await close(node.bd, deviceName('1'), 'abort');
  await assert.rejects(reading, /Input\/output error/);
  await assert.rejects(readOnce(hanging.path), /Input\/output error/);
  await readOnce(fine.path);

  stopped.goOn();
  await detach('1');
  await detach('2');
  await waitUntil('nothing is left of it', async () => (await list(node.bd)).length === 0);
  await run('umount', slow);
  await close(await client(t, below), 'base');
});

test('hundreds of disks come, outlive a daemon and go', { skip }, async (t) => {
  const count = isLong ? 300 : 24;
  const node = await startNode(t, TargetNode);
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
