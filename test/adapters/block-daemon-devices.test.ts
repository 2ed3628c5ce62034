// Answers of varve-bd that it gives seldom, and what devices make of them.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createInterface } from 'node:readline';
import { backingStoreFigures } from '../../src/adapters/block-daemon/figures.ts';
import { BlockDaemonTransport } from '../../src/adapters/block-daemon/transport.ts';
import { TransportDevices } from '../../src/adapters/block-devices/devices.ts';
import { noTransport } from './no-transport.ts';
import type { DevicePlan } from '../../src/machines/device/events.ts';
import { HelperPool } from '../../src/adapters/helper-pool/pool.ts';

type Answers = Readonly<Record<string, unknown>>;

/** The socket of a daemon that answers each operation with what is given for it. */
async function daemonWith(
  t: TestContext,
  answers: Answers,
  onRequest: (request: Readonly<Record<string, unknown>>) => unknown = () => undefined,
): Promise<string> {
  const scratch = mkdtempSync(join(tmpdir(), 'varve-bd-'));
  const socketPath = join(scratch, 'bd.sock');
  const server: Server = createServer((socket) => {
    createInterface({ input: socket }).on('line', (line) => {
      const request = JSON.parse(line) as { id: number; operation: string };
      onRequest(request);
      socket.write(`${JSON.stringify({ id: request.id, ok: answers[request.operation] })}\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.after(async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(scratch, { recursive: true, force: true });
  });
  return socketPath;
}

/** Its devices. */
async function devicesOn(t: TestContext, answers: Answers): Promise<TransportDevices> {
  const socketPath = await daemonWith(t, answers);
  const pool = new HelperPool({
    ...{ program: '/bin/false', workersMax: 1, queueMax: 1 },
    onAbandoned: () => undefined,
  });
  t.after(() => pool.close());
  const common = { snapshotsPath: '/s', deadlineMs: 5_000 };
  return new TransportDevices({
    ...common,
    daemon: new BlockDaemonTransport({ ...common, socketPath, mayBeAbsent: async () => false }),
    ...{ target: noTransport, transport: 'auto', pool },
    makeWritableLayer: async () => ({ ok: true, value: undefined }),
    logger: { warn: () => undefined },
  });
}

const open = {
  ...{ device: 'snapshot-7', state: 'open', path: '/dev/loop9', sizeBytes: 512 },
  config: '/s/7/block/config.v1.json',
};

test('a device that is closing and not gone is not detached: its layer is still open', async (t) => {
  const users = [{ kind: 'descriptor', process: 12, text: 'process 12 (cat) has it open' }];
  const devices = await devicesOn(t, {
    list: { devices: [open] },
    close: { device: 'snapshot-7', gone: false, users },
  });
  const detached = await devices.detach(7);
  assert.ok(!detached.ok);
  assert.equal(detached.failure.code, 'EBUSY');
  assert.match(detached.failure.message, /process 12 \(cat\) has it open/);
});

test('a path that has become another’s device is neither formatted nor mounted', async (t) => {
  const devices = await devicesOn(t, { list: { devices: [{ ...open, path: '/dev/loop10' }] } });
  const plan: DevicePlan = {
    ...{ writableLayer: null, fileSystem: 'ext4', mountOptions: '', formatArguments: [] },
    access: 'writable',
    mount: 'readWrite',
  };
  for (const answer of [
    await devices.format(7, '/dev/loop9', plan),
    await devices.mount(7, '/dev/loop9', plan),
  ]) {
    assert.ok(!answer.ok);
    assert.equal(answer.failure.code, 'ENODEV');
  }
});

const readOnly: DevicePlan = {
  ...{ writableLayer: null, fileSystem: 'ext4', mountOptions: '', formatArguments: null },
  ...{ access: 'readOnly', mount: 'readOnly' },
};

/** A transport of a daemon, and what an open was asked with. */
async function opening(t: TestContext, daemon: object) {
  const asked: Readonly<Record<string, unknown>>[] = [];
  const opened = { ...open, transport: 'ublk' };
  const answers = { list: { devices: [] }, stats: { daemon }, open: opened };
  const socketPath = await daemonWith(t, answers, (request) => asked.push(request));
  const common = { snapshotsPath: '/s', deadlineMs: 5_000, mayBeAbsent: async () => false };
  const transport = new BlockDaemonTransport({ ...common, socketPath });
  return { transport, fieldOf: () => asked.find(({ operation }) => operation === 'open') };
}

test('a transport is asked for by name only of a daemon that knows the field', async (t) => {
  const newer = await opening(t, { transport: 'ublk', transports: ['ublk', 'tcmu', 'fuse'] });
  assert.deepEqual(await newer.transport.offers(), { ok: true, value: ['ublk', 'fuse'] });
  assert.ok((await newer.transport.attach(7, readOnly, 'fuse')).ok);
  assert.equal(newer.fieldOf()?.['transport'], 'fuse');
  // What it takes anyway it need not be asked for.
  const older = await opening(t, { transport: 'fuse' });
  assert.deepEqual(await older.transport.offers(), { ok: true, value: ['fuse'] });
  assert.ok((await older.transport.attach(7, readOnly, 'fuse')).ok);
  assert.equal(older.fieldOf()?.['transport'], undefined);
  const refused = await older.transport.attach(7, readOnly, 'ublk');
  assert.ok(!refused.ok);
  assert.match(refused.failure.message, /no transport ublk here, only fuse: varve doctor/);
});

test('a varve-bd that is not meant to be there has no devices, and offers none', async () => {
  const common = { snapshotsPath: '/s', deadlineMs: 5_000, socketPath: '/nowhere/bd.sock' };
  const absent = new BlockDaemonTransport({ ...common, mayBeAbsent: async () => true });
  assert.deepEqual(await absent.offers(), { ok: true, value: [] });
  assert.deepEqual(await absent.sightings(new Map()), { ok: true, value: [] });
  assert.ok((await absent.detach(7)).ok);
  const missing = new BlockDaemonTransport({ ...common, mayBeAbsent: async () => false });
  for (const result of [
    await missing.offers(),
    await missing.sightings(new Map()),
    await missing.find(7),
  ]) {
    assert.ok(!result.ok);
    assert.equal(result.failure.code, 'ECONNREFUSED');
  }
});

test('one that has devices of ours is only away where it has no socket', async (t) => {
  const daemon = { transport: 'fuse' };
  const common = { snapshotsPath: '/s', deadlineMs: 5_000, mayBeAbsent: async () => true };
  const isAway = async (transport: BlockDaemonTransport, recorded: Map<number, string>) => {
    const seen = await transport.sightings(recorded);
    const detached = await transport.detach(8);
    assert.equal(seen.ok, detached.ok);
    return !seen.ok && !detached.ok && seen.failure.code === 'ECONNREFUSED';
  };
  // As the history has it, until that knows better.
  const next = new BlockDaemonTransport({ ...common, socketPath: '/nowhere/bd.sock' });
  assert.equal(await isAway(next, new Map([[7, 'tcmu']])), false);
  const ublk = new Map([[7, 'ublk']]);
  assert.equal(await isAway(next, ublk.set(9, 'tcmu')), true);
  assert.equal(await isAway(next, new Map()), false);
  // Attached from here, and not recorded yet: until it is detached by one that answers.
  const listed: object[] = [];
  const answers = {
    ...{ stats: { daemon }, open: { ...open, transport: 'fuse' } },
    ...{ list: { devices: listed }, close: { device: 'snapshot-7', gone: true } },
  };
  const socketPath = await daemonWith(t, answers);
  const transport = new BlockDaemonTransport({ ...common, socketPath });
  assert.ok((await transport.attach(7, readOnly, 'fuse')).ok);
  listed.push(open);
  renameSync(socketPath, `${socketPath}.away`);
  assert.equal(await isAway(transport, new Map()), true);
  renameSync(`${socketPath}.away`, socketPath);
  assert.ok((await transport.detach(7)).ok);
  renameSync(socketPath, `${socketPath}.away`);
  assert.equal(await isAway(transport, new Map()), false);
});

test('another root’s device that bears the name is not closed, whatever state it is in', async (t) => {
  for (const state of ['opening', 'open', 'sealed', 'closing', 'recovering']) {
    const asked: unknown[] = [];
    const other = { ...open, state, config: '/other/7/block/config.v1.json' };
    const answers = { list: { devices: [other] }, close: { device: 'snapshot-7', gone: true } };
    const socketPath = await daemonWith(t, answers, ({ operation }) => asked.push(operation));
    const common = { snapshotsPath: '/s', deadlineMs: 5_000, mayBeAbsent: async () => false };
    const transport = new BlockDaemonTransport({ ...common, socketPath });
    assert.deepEqual(await transport.detach(7), { ok: true, value: undefined });
    assert.deepEqual(asked, ['list'], state);
  }
});

test('devices outlive a daemon only if each that it has does', async (t) => {
  const daemon = {
    ...{ process: 1, transport: 'ublk', transports: ['ublk', 'fuse'], devicesOutlive: true },
    outlivingTransports: ['ublk'],
  };
  const outliveWith = async (...transports: readonly string[]): Promise<boolean | null> => {
    const devices = transports.map((transport) => ({ ...open, transport }));
    const answers = { stats: { daemon, devices: [] }, list: { devices } };
    const figures = await backingStoreFigures(await daemonWith(t, answers), '/s');
    assert.ok(figures.ok);
    return figures.value.devicesOutlive;
  };
  assert.equal(await outliveWith(), true);
  assert.equal(await outliveWith('ublk', 'tcmu'), true);
  assert.equal(await outliveWith('ublk', 'fuse'), false);
});
