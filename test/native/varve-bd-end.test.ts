// How devices of varve-bd and the daemon itself end: with users, with what nobody flushed, on disks
// that are full or hang, by a signal or killed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import type {
  BlockDaemonClient,
  BlockDaemonError,
} from '../../src/adapters/block-daemon/client.ts';
import type { DeviceUser } from '../../src/cli/block-devices/documents.ts';
import { varve } from '../cli/varve.ts';
import {
  client,
  close,
  createUpper,
  eventOf,
  list,
  loopsOf,
  open,
  readOnlyConfig,
  readRange,
  skip,
  start,
  writableConfig,
  type Daemon,
} from './block-daemon.ts';
import { frozenFileSystem } from './frozen-file-system.ts';
import { writeConfig } from './layer-tool.ts';
import { runProgram, scratchDirectory, until } from './scratch.ts';

test('a device in use is kept, and its user named', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const { path } = await open(bd, readOnlyConfig(directory), 'used');
  const file = openSync(path, 'r');
  await assert.rejects(close(bd, 'used'), {
    code: 'in-use',
    message: new RegExp(`process ${process.pid} \\(.*\\) has it open as descriptor ${file}`),
  });
  const refused = await varve(['bd', 'close', 'used', '--socket', daemon.socket]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, new RegExp(`^varve: device used is in use: process ${process.pid}`));
  const asJson = await varve(['bd', 'close', 'used', '--json', '--socket', daemon.socket]);
  assert.equal(asJson.code, 1);
  const answer = JSON.parse(asJson.stdout) as { gone: boolean; users: DeviceUser[] };
  assert.equal(answer.gone, false);
  assert.equal(answer.users[0]?.process, process.pid);
  const kept = await varve([
    'bd',
    'close',
    'used',
    '--mode=detach',
    '--patience=1',
    '--json',
    '--socket',
    daemon.socket,
  ]);
  const document = JSON.parse(kept.stdout) as { gone: boolean; users: DeviceUser[] };
  assert.equal(document.gone, false);
  assert.equal(document.users[0]?.process, process.pid);
  assert.equal((await list(bd))[0]?.state, 'closing');
  const failed = await varve([
    'bd',
    'close',
    'used',
    '--mode=abort',
    '--patience=1',
    '--socket',
    daemon.socket,
  ]);
  assert.match(failed.stdout, /^used fails its users from now on, and goes away with the last/);
  closeSync(file);
  let left = 1;
  while (left > 0) left = (await list(bd)).length;
  assert.deepEqual(loopsOf('used'), []);
});

/** Opens a device on an empty writable layer; answers its path. */
async function openEmpty(bd: BlockDaemonClient, directory: string, device: string) {
  const upper = createUpper(directory, device, 'append-only', '8M');
  const config = writeConfig(join(directory, `${device}.json`), { upper });
  return (await open(bd, config, device)).path;
}

const unflushed = Buffer.alloc(4 << 20, 'unflushed');

/** Writes to a device what stays in the kernel's cache. */
function writeUnflushed(path: string): void {
  const file = openSync(path, 'r+');
  writeSync(file, unflushed, 0, unflushed.length, 0);
  closeSync(file);
}

/** The number of the FUSE connection behind a device. */
const connectionOf = (path: string): string =>
  runProgram('losetup', ['--list', '--noheadings', '--output', 'BACK-MAJ:MIN', path])
    .split(':')[1]!
    .trim();

/** Kills the daemon and waits for its end; if it hangs in one of its connections, ends these. */
async function killWith(daemon: Daemon, connections: readonly string[]): Promise<void> {
  daemon.child.kill('SIGKILL');
  try {
    await until(() => daemon.child.signalCode !== null);
  } finally {
    if (daemon.child.signalCode === null) {
      const directory = mkdtempSync(join(tmpdir(), 'connections-'));
      runProgram('mount', ['-t', 'fusectl', 'none', directory]);
      for (const number of connections) {
        const path = join(directory, number, 'abort');
        if (existsSync(path)) writeFileSync(path, '1');
      }
      runProgram('umount', [directory]);
      rmdirSync(directory);
    }
  }
}

test('killed before what was written is flushed, it leaves nothing', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const connections: string[] = [];
  for (const device of ['killed-0', 'killed-1', 'killed-2']) {
    const path = await openEmpty(bd, directory, device);
    connections.push(connectionOf(path));
    writeUnflushed(path);
  }
  await killWith(daemon, connections);
  await until(() => loopsOf('killed-').length === 0);
});

test('killed while it writes out what was written, it leaves nothing', { skip }, async (t) => {
  const frozen = frozenFileSystem(t);
  if (frozen === undefined) return;
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  frozen.thaw();
  const path = await openEmpty(bd, frozen.path, 'killed-late');
  const connection = connectionOf(path);
  frozen.freeze();
  writeUnflushed(path);
  const closed = await bd.request<{ gone: boolean }>('close', {
    device: 'killed-late',
    patienceMs: 50,
  });
  assert.equal(closed.gone, false);
  daemon.child.kill('SIGKILL');
  // Until then the kernel holds the thread that writes to the layer.
  frozen.thaw();
  await killWith(daemon, [connection]);
  await until(() => loopsOf('killed-late').length === 0);
});

test('what nobody flushed is there after a close', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  writeUnflushed(await openEmpty(bd, directory, 'reopened'));
  await close(bd, 'reopened');
  const { path } = await open(bd, join(directory, 'reopened.json'), 'reopened');
  assert.ok(readRange(path, 0, unflushed.length).equals(unflushed));
});

test('a close tells that what nobody flushed cannot be written', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const events = (await client(t, daemon)).events();
  const layers = join(directory, 'layers');
  mkdirSync(layers);
  runProgram('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', layers]);
  const opened = events.next();
  writeUnflushed(await openEmpty(bd, layers, 'full'));
  await assert.rejects(close(bd, 'full'), {
    code: /^(failed|no-space)$/,
    message:
      /full is closed, but what was written last may be lost: flushing failed with (EIO|ENOSPC)/,
  });
  assert.equal((await eventOf(opened)).event, 'opened');
  let event = await eventOf(events.next());
  // The requests that failed are told, too.
  while (event.event === 'error') event = await eventOf(events.next());
  assert.equal(event.event, 'closed');
  assert.match(String(event['flushError']), /^(EIO|ENOSPC)$/);
  await until(() => daemon.said(/full is closed, but what was written last/).length > 0);
  assert.equal(daemon.said(/a request of a device failed/)[0]?.['code'], 'ENOSPC');
  assert.deepEqual(await list(bd), []);
  assert.deepEqual(loopsOf('full'), []);
});

// An abort that hangs, too, waits for ever.
test(
  'a close of a device that hangs can be asked again, as an abort',
  { skip, timeout: 60_000 },
  async (t) => {
    const frozen = frozenFileSystem(t);
    if (frozen === undefined) return;
    const directory = scratchDirectory(t);
    const daemon = await start(t, join(directory, 'run/bd.sock'));
    const bd = await client(t, daemon);
    const names = ['hanging-closed', 'hanging-aborted'];
    const paths: string[] = [];
    frozen.thaw();
    for (const name of names) paths.push(await openEmpty(bd, frozen.path, name));
    frozen.freeze();
    paths.forEach(writeUnflushed);
    const ask = (device: string, mode: string) =>
      bd.request<{ gone: boolean; users: DeviceUser[] }>('close', { device, mode, patienceMs: 50 });
    const [closed, aborted] = names as [string, string];
    assert.deepEqual(await ask(closed, 'if-unused'), { device: closed, gone: false, users: [] });
    assert.equal((await list(bd)).find(({ device }) => device === closed)?.state, 'closing');
    await ask(aborted, 'abort');
    // The daemon asks as well, in between.
    let isAborted = false;
    while (!isAborted) {
      isAborted = await ask(closed, 'abort').then(
        () => true,
        (problem: unknown) => (problem as BlockDaemonError).code !== 'busy',
      );
    }
    await until(() => loopsOf('hanging-').length === 0);
    frozen.thaw();
    let left = 2;
    while (left > 0) left = (await list(bd)).length;
  },
);

test(
  'told to end, it lets go of everything, and names who still uses a device',
  { skip },
  async (t) => {
    const directory = scratchDirectory(t);
    const daemon = await start(t, join(directory, 'run/bd.sock'));
    const bd = await client(t, daemon);
    await open(bd, readOnlyConfig(directory), 'ended-unused');
    const { path } = await open(bd, writableConfig(directory), 'ended-used');
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.alloc(4096, 'x'), 0, 4096, 0);
    assert.equal(await daemon.end('SIGTERM'), 0);
    const [line] = daemon.said(/ends while the device is in use/);
    assert.match(JSON.stringify(line), new RegExp(`process ${process.pid} \\(`));
    assert.throws(() => readSync(file, Buffer.alloc(4096), 0, 4096, 8 << 20), /EIO|i\/o error/i);
    closeSync(file);
    await until(() => loopsOf('ended-').length === 0);
    assert.deepEqual(readdirSync(join(directory, 'run')), []);
  },
);

test(
  'no signal but those that end the daemon ends it, and none ends it by default',
  { skip },
  async (t) => {
    const directory = scratchDirectory(t);
    const daemon = await start(t, join(directory, 'run/bd.sock'));
    const { pid } = daemon;
    for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGPIPE'] as const) {
      process.kill(pid, signal);
    }
    assert.deepEqual(await list(await client(t, daemon)), []);
    const exited = once(daemon.child, 'exit');
    // Again and again until it is gone, so that one meets every moment of its end.
    while (daemon.child.exitCode === null && daemon.child.signalCode === null) {
      process.kill(pid, 'SIGTERM');
      await new Promise((resolve) => setImmediate(resolve));
    }
    await exited;
    assert.equal(daemon.child.exitCode, 0, `it ended by ${daemon.child.signalCode}`);
    assert.deepEqual(readdirSync(join(directory, 'run')), []);
  },
);

test('what memory pressure can do to a daemon it says every time', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  for (let count = 0; count < 5; count += 1) {
    const socket = join(directory, `run-${count}/bd.sock`);
    const lacking = count % 2 === 0 ? 'sys_resource' : 'sys_resource,-ipc_lock';
    const daemon = await start(t, socket, [], { lacking });
    const { pid } = daemon;
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kibibytes = (name: string): number =>
      Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1]);
    await daemon.end('SIGTERM');
    assert.equal(daemon.said(/not part of writeback/).length, 1);
    assert.equal(daemon.said(/OOM score cannot be lowered.*CAP_SYS_RESOURCE/).length, 1);
    const mayLock = count % 2 === 0;
    // With sanitizers no memory is ever locked, and nobody is told.
    const isPlain = process.env['VARVE_BD_PROGRAM'] === undefined;
    if (isPlain) assert.equal(kibibytes('VmLck') >= kibibytes('VmRSS'), mayLock);
    assert.equal(daemon.said(/memory cannot be locked.*CAP_IPC_LOCK/).length, mayLock ? 0 : 1);
  }
});
