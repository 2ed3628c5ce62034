// Answers of varve-bd that it gives seldom, and what devices make of them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createInterface } from 'node:readline';
import { BlockDaemonTransport } from '../../src/adapters/block-daemon/transport.ts';
import { TransportDevices } from '../../src/adapters/block-devices/devices.ts';
import { noTransport } from './no-transport.ts';
import type { DevicePlan } from '../../src/machines/device/events.ts';
import { HelperPool } from '../../src/adapters/helper-pool/pool.ts';

type Answers = Readonly<Record<string, unknown>>;

/** Devices of a daemon that answers each operation with what is given for it. */
async function devicesOn(t: TestContext, answers: Answers): Promise<TransportDevices> {
  const scratch = mkdtempSync(join(tmpdir(), 'varve-bd-'));
  const socketPath = join(scratch, 'bd.sock');
  const server: Server = createServer((socket) => {
    createInterface({ input: socket }).on('line', (line) => {
      const { id, operation } = JSON.parse(line) as { id: number; operation: string };
      socket.write(`${JSON.stringify({ id, ok: answers[operation] })}\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const pool = new HelperPool({
    ...{ program: '/bin/false', workersMax: 1, queueMax: 1 },
    onAbandoned: () => undefined,
  });
  t.after(async () => {
    await pool.close();
    await new Promise((resolve) => server.close(resolve));
    rmSync(scratch, { recursive: true, force: true });
  });
  const common = { snapshotsPath: '/s', deadlineMs: 5_000 };
  return new TransportDevices({
    ...common,
    daemon: new BlockDaemonTransport({ ...common, socketPath, mayBeAbsent: async () => false }),
    ...{ target: noTransport, transport: 'auto', pool },
    makeWritableLayer: () => Promise.resolve({ ok: true, value: undefined }),
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
