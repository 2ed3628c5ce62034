// Somebody uses what is to be taken away: a file, a mount of it elsewhere, the device itself. It
// stays for as long, its user is named, and it goes afterwards.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import { runCommand } from '../e2e/lab/command.ts';
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
  placeOf,
  writes,
} from './faulty-node.ts';

const box = 'default/3/box';

/** Another process that holds `file` open; answers how to end it. */
async function holdOpen(t: TestContext, file: string): Promise<() => Promise<void>> {
  const child = spawn('sh', ['-c', 'exec 3<"$0"; echo held; exec sleep 600', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(end);
  await once(child.stdout, 'data');
  return end;
}

describe('what somebody uses', { skip: deviceObstacle() ?? false, timeout: 120_000 }, () => {
  let node: BlockNode;

  before(async () => {
    node = await BlockNode.start({ lingerMs: 0 });
    await node.unpackLayers();
  });
  after(() => node?.scratch.dispose());

  const failed = (stream: string, says: RegExp): Promise<void> =>
    waitUntil('the failure is recorded', async () =>
      (await failuresOf(node, stream)).some((failure) => says.test(failure)),
    );

  test('R-08: an open file keeps its file system mounted: EBUSY, and Remove succeeds', async (t) => {
    await node.prepare(box, top);
    const end = await holdOpen(t, path.join(mountPointOf(node, 2), 'top'));
    await assertRemoved(node, box);
    await failed('device-2', /^DeviceDetachFailed: EBUSY /);
    assert.equal(readFileSync(path.join(mountPointOf(node, 2), 'top'), 'utf8'), 'top\n');
    await end();
    await assertNothingAttached(node);
    await assertWorks(node);
  });

  test('R-11: a mount elsewhere keeps the device: its path is named', async () => {
    await node.prepare(box, top);
    const elsewhere = path.join(node.scratch.path, 'elsewhere');
    mkdirSync(elsewhere, { recursive: true });
    await runCommand(['mount', '--bind', mountPointOf(node, 2), elsewhere]);
    await assertRemoved(node, box);
    await failed('device-2', /^DeviceDetachFailed: EBUSY .*elsewhere/);
    assert.equal(readFileSync(path.join(elsewhere, 'top'), 'utf8'), 'top\n');
    await runCommand(['umount', elsewhere]);
    await assertNothingAttached(node);
    await assertWorks(node);
  });

  test('R-11: a process that has the device open keeps it: the process is named', async (t) => {
    await node.prepare(box, top);
    const [device] = await devicesOf(node);
    const end = await holdOpen(t, device?.path ?? '');
    await assertRemoved(node, box);
    await failed('device-2', /^DeviceDetachFailed: EBUSY .*process \d+/);
    const pending = node.tryPrepare('default/3/next', top);
    assert.equal((await pending).code, 0, 'a Prepare meanwhile gets a device that works');
    assert.equal(readFileSync(path.join(mountPointOf(node, 2), 'top'), 'utf8'), 'top\n');
    await assertRemoved(node, 'default/3/next');
    await end();
    await assertNothingAttached(node);
  });

  test('a device of which nothing is known, when serve starts: it stays, and goes without another start', async (t) => {
    const snapshots = path.join(node.root, 'snapshots');
    const block = path.join(snapshots, '77', 'block');
    mkdirSync(block, { recursive: true });
    const config = path.join(block, 'config.v1.json');
    copyFileSync(path.join(snapshots, '1', 'block', 'config.v1.json'), config);
    const client = await BlockDaemonClient.connect(node.blockDaemon.address);
    await client.request('open', { config, device: 'snapshot-77', readOnly: true });
    client.close();
    const [device] = await devicesOf(node);
    const end = await holdOpen(t, device?.path ?? '');
    await node.restart();
    await node.prepare(box, top);
    await assertRemoved(node, box);
    const names = async (): Promise<readonly string[]> =>
      (await devicesOf(node)).map(({ device: name }) => name);
    await waitUntil('its own device is gone', async () => !(await names()).includes('snapshot-2'));
    assert.deepEqual(await names(), ['snapshot-77']);
    assert.ok(existsSync(config), 'what a device reads stays');
    await end();
    await assertNothingAttached(node);
    await waitUntil('its directory goes after it', async () => !existsSync(block));
  });

  test('a commit of what somebody writes fails with its reason; all goes on, and later it commits', async (t) => {
    await node.prepare(box, top, writes);
    const place = await placeOf(node, box);
    const file = path.join(place, 'written');
    writeFileSync(file, 'kept\n');
    const end = await holdOpen(t, file);
    const refused = await node.tryCommit(box, 'default/4/saved');
    assertRefused(refused, 'FAILED_PRECONDITION', /could not be committed: .*EBUSY/);
    await assertWhy(node, box, /The commit failed.*EBUSY/);
    assert.equal(readFileSync(file, 'utf8'), 'kept\n');
    writeFileSync(path.join(place, 'more'), 'more\n');
    await end();
    await node.commit(box, 'default/4/saved');
    await node.prepare('default/5/on', 'default/4/saved', writes);
    const next = await placeOf(node, 'default/5/on');
    const found = ['written', 'more', 'top'].map((name) =>
      readFileSync(path.join(next, name), 'utf8'),
    );
    assert.deepEqual(found, ['kept\n', 'more\n', 'top\n']);
    await assertRemoved(node, 'default/5/on');
    await assertRemoved(node, 'default/4/saved');
    await assertNothingAttached(node);
  });
});
