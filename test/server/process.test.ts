// `varve serve` as a process with its real adapters: sockets, lock, signals, start and damage.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { mount, mountFlag, unmount, unmountFlag } from '../../src/adapters/native/mounts.ts';
import {
  inspectDefinition,
  snapshotsDefinition as snapshots,
} from '../../src/server/grpc/definitions.ts';
import { TestClient } from './client.ts';
import { configurationIn, scratchDirectory, ServerProcess } from './server-process.ts';

const modeOf = async (file: string): Promise<string> =>
  ((await stat(file)).mode & 0o777).toString(8);

// For all tests together, on a machine that is busy with others.
const timeout = 240_000;

describe('a server process', { timeout }, () => {
  test('makes its directories 0700 and its sockets 0600, and takes the sockets away', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    const server = new ServerProcess(t, configuration);
    await server.serving();
    const { root, address, adminAddress } = configuration;
    const modes = [
      root,
      path.join(root, 'snapshots'),
      path.dirname(address),
      address,
      adminAddress,
    ];
    assert.deepEqual(await Promise.all(modes.map(modeOf)), ['700', '700', '700', '600', '600']);
    server.child.kill('SIGTERM');
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    assert.deepEqual(await readdir(path.dirname(address)), []);
  });

  test('leaves the mode of directories alone that were there', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    for (const directory of [configuration.root, path.dirname(configuration.address)]) {
      await mkdir(directory);
      await chmod(directory, 0o755);
    }
    await new ServerProcess(t, configuration).serving();
    assert.equal(await modeOf(configuration.root), '755');
    assert.equal(await modeOf(path.dirname(configuration.address)), '755');
  });

  test('deletes what an earlier check of the root left behind', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    const snapshotsPath = path.join(configuration.root, 'snapshots');
    await mkdir(path.join(snapshotsPath, '.varve-probe-42', 'typed'), { recursive: true });
    await mkdir(path.join(snapshotsPath, '.varve-probe-not'));
    const server = new ServerProcess(t, configuration);
    await server.serving();
    assert.deepEqual(await readdir(snapshotsPath), ['.varve-probe-not']);
  });

  test('makes layer directories and frees them', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    await new ServerProcess(t, configuration).serving();
    const client = new TestClient(configuration.address);
    t.after(() => client.close());
    const prepared = await client.call(snapshots.prepare, { key: 'k' });
    const source = prepared.value?.mounts?.[0]?.source ?? '';
    await writeFile(path.join(source, 'file'), 'x'.repeat(10_000));
    const usage = await client.call(snapshots.usage, { key: 'k' });
    assert.deepEqual({ ...usage.value }, { size: 4096 + 12_288, inodes: 2 });
    assert.equal((await client.call(snapshots.commit, { key: 'k', name: 'n' })).code, status.OK);
    assert.equal((await client.call(snapshots.remove, { key: 'n' })).code, status.OK);
    assert.equal((await client.call(snapshots.cleanup, {})).code, status.OK);
    assert.equal(existsSync(source), false);
  });

  test('keeps what it answered over kill -9, and replaces the sockets left over', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    const first = new ServerProcess(t, configuration);
    await first.serving();
    const client = new TestClient(configuration.address);
    t.after(() => client.close());
    const before = await client.call(snapshots.prepare, { key: 'kept' });
    first.child.kill('SIGKILL');
    await first.exited;
    assert.ok(existsSync(configuration.address), 'a stale socket is left');

    await new ServerProcess(t, configuration).serving();
    const again = new TestClient(configuration.address);
    t.after(() => again.close());
    const after = await again.call(snapshots.mounts, { key: 'kept' });
    assert.deepEqual({ ...after.value }, { ...before.value });
  });

  test('R-25b: refuses a root that another server uses and names its process', async (t) => {
    const scratch = await scratchDirectory(t);
    const first = new ServerProcess(t, configurationIn(scratch));
    await first.serving();
    const other = { ...configurationIn(scratch), address: path.join(scratch, 'other', 's.sock') };
    const second = new ServerProcess(t, other);
    const line = await second.says(/cannot start/);
    assert.match(line.msg, new RegExp(`process ${first.child.pid}\\) uses the root .*: stop it`));
    assert.equal((await second.exited).code, 1);
    assert.equal(first.child.exitCode, null);
  });

  test('refuses a socket on which another server answers, and leaves it alone', async (t) => {
    const scratch = await scratchDirectory(t);
    const first = configurationIn(scratch);
    await new ServerProcess(t, first).serving();
    const root = path.join(scratch, 'root2');
    const other = (name: string): string => path.join(scratch, 'other', name);
    for (const [taken, free] of [
      ['varve', { adminAddress: other('admin.sock') }],
      ['admin', { address: other('varve.sock') }],
    ] as const) {
      const second = new ServerProcess(t, { ...first, root, ...free });
      const line = await second.says(/cannot start/);
      assert.match(line.msg, new RegExp(`another server answers on .*${taken}\\.sock: stop it`));
      assert.equal((await second.exited).code, 1);
    }
    const client = new TestClient(first.address);
    t.after(() => client.close());
    assert.equal((await client.all(snapshots.list, {})).code, status.OK);
  });

  test('R-29: refuses a path that exists and is no socket, and leaves it alone', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    await mkdir(path.dirname(configuration.address));
    await writeFile(configuration.address, 'precious');
    const server = new ServerProcess(t, configuration);
    assert.match((await server.says(/cannot start/)).msg, /is no socket: move it away/);
    assert.equal(await readFile(configuration.address, 'utf8'), 'precious');
  });

  test('refuses a link to a live socket of something else', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    const target = path.join(scratch, 'live.sock');
    const live = createServer();
    await new Promise<void>((resolve) => live.listen(target, resolve));
    t.after(() => live.close());
    await mkdir(path.dirname(configuration.address));
    await symlink(target, configuration.address);
    const server = new ServerProcess(t, configuration);
    assert.match((await server.says(/cannot start/)).msg, /is no socket/);
    assert.ok(existsSync(target));
  });

  test('refuses a socket path that is longer than the kernel takes', async (t) => {
    const scratch = await scratchDirectory(t);
    const address = path.join(scratch, 'x'.repeat(100), 'varve.sock');
    const server = new ServerProcess(t, { ...configurationIn(scratch), address });
    assert.match((await server.says(/cannot start/)).msg, /kernel takes 107: choose a shorter/);
  });

  test('refuses a root on a file system without overlay upper directories', async (t) => {
    const root = await mountedScratch(t, { type: 'ramfs', flags: 0 });
    const server = new ServerProcess(t, { ...configurationIn(path.dirname(root)), root });
    const { msg } = await server.says(/cannot start/);
    assert.ok(msg.includes(`the file system of ${root} cannot carry overlay upper directories (`));
    assert.match(msg, /trusted extended attributes.*: choose a root on ext4/);
    assert.equal((await server.exited).code, 1);
  });

  test('says why directories cannot be made where a file system takes none', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    const rootless = new ServerProcess(t, { ...configuration, root: '/proc/varve/root' });
    const { msg } = await rootless.says(/cannot start/);
    assert.match(msg, /the root \/proc\/varve\/root cannot be used \(ENOENT.*: choose another/);
    assert.equal((await rootless.exited).code, 1);
    const address = '/proc/varve/s.sock';
    const unreachable = new ServerProcess(t, { ...configuration, address });
    assert.match(
      (await unreachable.says(/cannot start/)).msg,
      /the directory \/proc\/varve of the socket cannot be made \(ENOENT.*: choose another/,
    );
    assert.equal((await unreachable.exited).code, 1);
  });

  test('says that a file system is read-only', async (t) => {
    const mounted = await mountedScratch(t, { type: 'tmpfs', flags: mountFlag.readOnly });
    const root = path.join(mounted, 'deep', 'root');
    const server = new ServerProcess(t, { ...configurationIn(path.dirname(mounted)), root });
    assert.match((await server.says(/cannot start/)).msg, /cannot be used \(EROFS: read-only/);
    assert.equal((await server.exited).code, 1);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`ends with 0 within 5 s of ${signal} sent twice, a Watch of health open`, async (t) => {
      const scratch = await scratchDirectory(t);
      const configuration = configurationIn(scratch);
      const server = new ServerProcess(t, configuration);
      await server.serving();
      const client = new TestClient(configuration.address);
      t.after(() => client.close());
      const { service } = (await import('grpc-health-check')) as unknown as {
        service: { Watch: never };
      };
      const watch = client.open(service.Watch, { service: '' } as never);
      watch.on('error', () => undefined);
      const [first] = await Promise.all([new Promise((resolve) => watch.once('data', resolve))]);
      assert.deepEqual(first, { status: 'SERVING' });
      const startedAt = performance.now();
      server.child.kill(signal);
      // Two at once would be one: the second has to find the first at work.
      await server.says(/^stopping$/);
      server.child.kill(signal);
      assert.deepEqual(await server.exited, { code: 0, signal: null });
      assert.ok(performance.now() - startedAt < 5_000);
      assert.equal(existsSync(configuration.address), false);
    });
  }

  test('ends with 0 on SIGTERM while removed layers are being deleted', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    const server = new ServerProcess(t, configuration);
    await server.serving();
    const client = new TestClient(configuration.address);
    t.after(() => client.close());
    const keys = ['first', 'second'];
    for (const key of keys) await client.call(snapshots.prepare, { key });
    // Each measuring takes a helper of its own when two come together.
    let helpers = await server.helperPids();
    while (helpers.length < 2) {
      await Promise.all(keys.map((key) => client.call(snapshots.usage, { key })));
      helpers = await server.helperPids();
    }
    const [one, other] = helpers;
    assert.ok(one !== undefined && other !== undefined && helpers.length === 2);
    for (const pid of helpers) process.kill(pid, 'SIGSTOP');
    for (const key of keys) {
      assert.equal((await client.call(snapshots.remove, { key })).code, status.OK);
    }
    server.child.kill('SIGTERM');
    await server.says(/^stopped$/);
    // One deletion ends after the log is closed, and the other keeps the process meanwhile.
    process.kill(one, 'SIGCONT');
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    assert.deepEqual(
      server.lines.filter(({ level }) => ['warn', 'error', 'fatal'].includes(level)),
      [],
    );

    await new ServerProcess(t, configuration).serving();
    const again = new TestClient(configuration.address);
    t.after(() => again.close());
    assert.equal((await again.call(snapshots.cleanup, {})).code, status.OK);
    assert.deepEqual(await readdir(path.join(configuration.root, 'snapshots')), []);
  });

  test('ends on SIGTERM although a file call hangs', async (t) => {
    const scratch = await scratchDirectory(t);
    const stuckOn = path.join(scratch, 'fifo');
    execFileSync('mkfifo', [stuckOn]);
    const server = new ServerProcess(t, configurationIn(scratch), { stuckOn });
    await server.serving();
    server.child.kill('SIGTERM');
    assert.deepEqual(await server.exited, { code: 0, signal: null });
  });

  test('ends on SIGTERM although its start hangs', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    // Opening the log writes this file, and a FIFO that nobody reads holds whoever opens it.
    await mkdir(configuration.root);
    execFileSync('mkfifo', [path.join(configuration.root, 'log.running')]);
    const server = new ServerProcess(t, configuration);
    const client = new TestClient(configuration.address);
    t.after(() => client.close());
    await client.connected();
    const answer = await client.call(snapshots.stat, { key: 'k' });
    assert.match(answer.details, /starting/);
    server.child.kill('SIGTERM');
    assert.deepEqual(await server.exited, { code: 0, signal: null });
  });

  test('with a damaged log stays up, does not serve, and says what to run', async (t) => {
    const scratch = await scratchDirectory(t);
    const configuration = configurationIn(scratch);
    const first = new ServerProcess(t, configuration);
    await first.serving();
    const client = new TestClient(configuration.address);
    t.after(() => client.close());
    for (const key of ['a', 'b', 'c']) await client.call(snapshots.prepare, { key });
    first.child.kill('SIGKILL');
    await first.exited;
    await flipAByte(path.join(configuration.root, 'log'));

    const second = new ServerProcess(t, configuration);
    await second.says(/^not serving: .*varve repair/);
    const again = new TestClient(configuration.address);
    const admin = new TestClient(configuration.adminAddress);
    t.after(() => again.close());
    t.after(() => admin.close());
    const refused = await again.call(snapshots.stat, { key: 'a' });
    assert.equal(status[refused.code], 'UNAVAILABLE');
    assert.match(refused.details, /damaged.*varve repair/);
    const document = await admin.call(inspectDefinition.status, {});
    const answer = JSON.parse(document.value?.json ?? '{}') as Record<string, unknown>;
    assert.equal(answer['condition'], 'damaged');
    assert.match(String(answer['problem']), /varve repair/);
    assert.notDeepEqual(answer['damage'], []);
    second.child.kill('SIGTERM');
    assert.equal((await second.exited).code, 0);
  });
});

/** A directory on a file system of its own, below a scratch directory of the test. */
async function mountedScratch(
  t: TestContext,
  { type, flags }: { readonly type: string; readonly flags: number },
): Promise<string> {
  let target = '';
  // Hooks run in the order of their registration: before the scratch directory is deleted.
  t.after(() => unmount(target, unmountFlag.detach));
  target = path.join(await scratchDirectory(t), 'mounted');
  await mkdir(target);
  const mounted = mount({ source: type, target, type, flags, data: '' });
  assert.ok(mounted.ok, JSON.stringify(mounted));
  return target;
}

/** Flips one bit in the middle of what LevelDB's write-ahead log holds. */
async function flipAByte(directory: string): Promise<void> {
  const name = (await readdir(directory)).find((file) => file.endsWith('.log')) ?? '';
  const content = await readFile(path.join(directory, name));
  const place = Math.floor(content.findLastIndex((byte) => byte !== 0) / 2);
  content[place] = (content[place] ?? 0) ^ 1;
  await writeFile(path.join(directory, name), content);
}
