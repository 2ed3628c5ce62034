// The daemon varve-bd as it is used: real layers and devices, by its socket and by `varve bd`.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';

import type { DeviceStats } from '../../src/cli/block-devices/documents.ts';
import { startVarve, varve } from '../cli/varve.ts';
import {
  client,
  close,
  createUpper,
  eventOf,
  expectedSum,
  fixtures,
  list,
  loopsOf,
  open,
  readOnlyConfig,
  readRange,
  skip,
  start,
  sumOf,
  writableConfig,
  type Opened,
} from './block-daemon.ts';
import { frozenFileSystem } from './frozen-file-system.ts';
import { writeConfig } from './layer-tool.ts';
import { isRunning, runProgram, scratchDirectory, until } from './scratch.ts';

test('a device is opened, read, listed, counted and closed', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const resultFile = join(directory, 'result');
  const config = readOnlyConfig(directory, 'ro', { resultFile });
  const opened = await open(bd, config, 'golden');
  assert.match(opened.path, /^\/dev\/loop\d+$/);
  assert.equal(opened.sizeBytes, 20 << 20);
  assert.equal(opened.readOnly, true);
  assert.equal(readFileSync(resultFile, 'utf8'), 'success');
  assert.equal(sumOf(opened.path), expectedSum('stack3'));
  const [listed] = await list(bd);
  assert.equal(listed?.device, 'golden');
  assert.equal(listed.state, 'open');
  const stats = await bd.request<{ devices: DeviceStats[] }>('stats', { device: 'golden' });
  const read = stats.devices[0]!.operations['read']!;
  assert.ok(read.sizeBytes >= 20 << 20, `${read.sizeBytes} bytes read`);
  assert.equal(
    read.requestCount,
    read.latency.reduce((sum, { requestCount }) => sum + requestCount, 0),
  );
  assert.equal(read.errorCount, 0);
  const { text } = await bd.request<{ text: string }>('metrics');
  assert.match(text, /^varve_bd_bytes_total\{device="golden",operation="read"\} 2\d{7}$/m);
  assert.deepEqual(await close(bd, 'golden'), { device: 'golden', gone: true, users: [] });
  assert.deepEqual(await list(bd), []);
  assert.equal(await daemon.end('SIGTERM'), 0);
  assert.deepEqual(readdirSync(join(directory, 'run')), []);
});

test('a refused key is told in the result file, too', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const config = join(directory, 'config.v1.json');
  const lowers = [{ file: '/x', targetFile: 'x' }];
  writeFileSync(config, JSON.stringify({ lowers, resultFile: 'result' }));
  await assert.rejects(open(bd, config, 'refused'), { code: 'open-failed' });
  const result = readFileSync(join(directory, 'result'), 'utf8');
  assert.match(result, /^failed:.*config\.v1\.json: lowers\[0\]\.targetFile: .*not supported yet/);
});

test('without the kernel’s module a target cannot be served', { skip }, async (t) => {
  if (existsSync('/sys/module/target_core_user')) return t.skip('the module is loaded');
  const directory = scratchDirectory(t);
  const socket = join(directory, 'run/bd.sock');
  await assert.rejects(start(t, socket, ['--tcmu']), /load its module target_core_user/);
  assert.deepEqual(readdirSync(join(directory, 'run')), []);
});

test('whoever may not, cannot reach the socket', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  chmodSync(directory, 0o755);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  assert.equal(lstatSync(daemon.socket).mode & 0o777, 0o600);
  assert.equal(lstatSync(dirname(daemon.socket)).mode & 0o777, 0o700);
  const { code, stderr } = await varve(['bd', 'ls', '--socket', daemon.socket], { uid: 65534 });
  assert.equal(code, 9, stderr);
  assert.match(stderr, /permission denied at .*bd\.sock: run this as root/);
});

test('a writable device is written, resized, committed and sealed', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const config = writableConfig(directory);
  const { path } = await open(bd, config, 'rw');
  assert.equal(sumOf(path), expectedSum('rw-append'));
  // Whoever comes second to the same writable layer is refused.
  await assert.rejects(open(bd, config, 'twice'), { code: 'open-failed' });
  const block = Buffer.alloc(1 << 20, 'varve');
  const file = openSync(path, 'r+');
  writeSync(file, block, 0, block.length, 5 << 20);
  fsyncSync(file);
  await assert.rejects(bd.request('commit', { device: 'rw', output: join(directory, 'early') }), {
    code: 'in-use',
    message: new RegExp(`process ${process.pid} \\(`),
  });
  await bd.request('resize', { device: 'rw', sizeBytes: 32 << 20 });
  closeSync(file);
  assert.equal(runProgram('blockdev', ['--getsize64', path]), String(32 << 20));
  const sum = sumOf(path);

  for (const [algorithm, tar] of [
    ['none', false],
    ['lz4', false],
    ['zstd', true],
  ] as const) {
    const output = join(directory, `layer-${algorithm}`);
    const committed = await bd.request<{ sizeBytes: number }>('commit', {
      device: 'rw',
      output,
      algorithm,
      tar,
      userTag: 'from a test',
    });
    assert.equal(committed.sizeBytes, lstatSync(output).size);
    const lowers = ['layer0.lz4', 'layer1.lsmt', 'layer2.zstd.tar'].map((name) => ({
      file: `${fixtures}stack3/${name}`,
    }));
    const over = join(directory, `over-${algorithm}.json`);
    writeFileSync(over, JSON.stringify({ lowers: [...lowers, { file: output }] }));
    const again = await open(bd, over, `over-${algorithm}`);
    assert.equal(sumOf(again.path), sum, algorithm);
  }
  await assert.rejects(
    bd.request('commit', { device: 'rw', output: join(directory, 'layer-none') }),
    { code: 'already-exists' },
  );
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.startsWith('.varve-layer')),
    [],
  );

  await bd.request('seal', { device: 'rw' });
  assert.equal(sumOf(path), sum);
  assert.equal((await list(bd)).find(({ device }) => device === 'rw')?.readOnly, true);
  await assert.rejects(bd.request('seal', { device: 'rw' }), { code: 'not-writable' });
  assert.equal((await close(bd, 'rw')).gone, true);
  const sealed = readOnlyConfig(directory, 'sealed');
  const document = JSON.parse(readFileSync(sealed, 'utf8')) as { lowers: object[] };
  document.lowers.push({ file: join(directory, 'rw.data') });
  writeFileSync(sealed, JSON.stringify(document));
  assert.equal(sumOf((await open(bd, sealed, 'sealed')).path), sum);
});

test('what nobody flushed is in a commit, and in a sealed layer', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const write = (path: string, text: string): void => {
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.alloc(1 << 20, text), 0, 1 << 20, 1 << 20);
    closeSync(file);
  };
  const upper = createUpper(directory, 'rw', 'append-only', '4M');
  const layer = join(directory, 'layer');
  const { path } = await open(bd, writeConfig(join(directory, 'rw.json'), { upper }), 'rw');
  write(path, 'committed');
  await bd.request('commit', { device: 'rw', output: layer });
  write(path, 'sealed');
  await bd.request('seal', { device: 'rw' });
  await close(bd, 'rw');
  for (const [file, text] of [
    [layer, 'committed'],
    [upper.data, 'sealed'],
  ] as const) {
    const config = writeConfig(join(directory, `${text}.json`), { lowers: [{ file }] });
    const found = readRange((await open(bd, config, text)).path, 1 << 20, 1 << 20);
    assert.ok(found.equals(Buffer.alloc(1 << 20, text)), text);
  }
});

test('a device that is closed can be opened again at once', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const config = writableConfig(directory);
  for (let turn = 0; turn < 30; turn += 1) {
    await open(bd, config, 'again');
    assert.equal((await close(bd, 'again')).gone, true);
  }
});

/** Where a link leads; empty where it is gone. */
function readLinkOrNone(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

test('read-only devices share a writable layer, and leave it alone', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const config = writableConfig(directory);
  for (const device of ['first', 'second']) {
    const opened = await bd.request<Opened>('open', { config, device, readOnly: true });
    assert.equal(opened.readOnly, true);
    assert.equal(sumOf(opened.path), expectedSum('rw-append'));
  }
  for (const name of readdirSync(`/proc/${daemon.pid}/fdinfo`)) {
    const file = readLinkOrNone(`/proc/${daemon.pid}/fd/${name}`);
    if (!/rw\.(data|index)$/.test(file)) continue;
    const flags = /^flags:\s+(\d+)$/m.exec(
      readFileSync(`/proc/${daemon.pid}/fdinfo/${name}`, 'utf8'),
    );
    assert.equal(parseInt(flags?.[1] ?? '', 8) & 3, constants.O_RDONLY, file);
  }
  await assert.rejects(open(bd, config, 'third'), { code: 'open-failed' });
  await assert.rejects(bd.request('seal', { device: 'first' }), {
    code: 'not-writable',
    message: /it was opened read-only/,
  });
});

test('a hundred devices are opened and attached at once', { skip }, async (t) => {
  const frozen = frozenFileSystem(t);
  if (frozen === undefined) return;
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const names = Array.from({ length: 100 }, (_, index) => `many-${index}`);
  const opens = names.map((name) => {
    const resultFile = join(frozen.path, name);
    return open(bd, readOnlyConfig(directory, name, { resultFile }), name);
  });
  // Then each waits until it can write its result.
  await until(() => loopsOf('many-').length === 100);
  frozen.thaw();
  const opened = await Promise.all(opens);
  assert.equal(new Set(opened.map(({ path }) => path)).size, 100);
  assert.equal((await list(bd)).length, 100);
  const first = Buffer.alloc(4096);
  const firstOf = (path: string): string => {
    const file = openSync(path, 'r');
    readSync(file, first, 0, first.length, 1 << 20);
    closeSync(file);
    return first.toString('hex');
  };
  assert.equal(new Set(opened.map(({ path }) => firstOf(path))).size, 1);
  const closed = await Promise.all(names.map((name) => close(bd, name)));
  assert.ok(closed.every(({ gone }) => gone));
  assert.deepEqual(loopsOf('many-'), []);
});

// Whoever is delayed waits for ever.
test('a slow open delays nobody', { skip, timeout: 60_000 }, async (t) => {
  const frozen = frozenFileSystem(t);
  if (frozen === undefined) return;
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  // Whoever makes a file there waits until it is thawed.
  const resultFile = join(frozen.path, 'result');
  const slow = open(bd, readOnlyConfig(directory, 'slow', { resultFile }), 'slow');
  const late = assert.rejects(
    bd.request('open', {
      config: readOnlyConfig(directory, 'late', { resultFile: `${resultFile}-late` }),
      device: 'late',
      deadlineMs: 50,
    }),
    { code: 'deadline' },
  );
  for (let turn = 0; turn < 10; turn += 1) {
    await open(bd, readOnlyConfig(directory), `quick-${turn}`);
    assert.equal((await close(bd, `quick-${turn}`)).gone, true);
  }
  await late;
  assert.deepEqual(
    (await list(bd)).map(({ device, state }) => [device, state]),
    [
      ['late', 'opening'],
      ['slow', 'opening'],
    ],
  );
  frozen.thaw();
  assert.equal((await slow).device, 'slow');
  await until(() => existsSync(`${resultFile}-late`) && loopsOf('late').length === 0);
  let isUndone = false;
  while (!isUndone) isUndone = (await list(bd)).every(({ device }) => device !== 'late');
  assert.match(readFileSync(`${resultFile}-late`, 'utf8'), /^failed:/);
  assert.equal(readFileSync(resultFile, 'utf8'), 'success');
});

/** Sends raw text and collects what comes back until the daemon closes. */
async function raw(t: TestContext, path: string, text: string | Buffer): Promise<string[]> {
  const socket: Socket = connect(path);
  t.after(() => socket.destroy());
  socket.setEncoding('utf8');
  let received = '';
  socket.on('data', (chunk: string) => (received += chunk));
  // The daemon need not read all of what it refuses.
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.end(text);
  await closed;
  return received.split('\n').filter((line) => line !== '');
}

test('hostile lines are refused by name, and harm nobody', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const lines = [
    'no json',
    '{"version":1,"id":2,"operation":"oepn"}',
    '{"version":9,"id":3,"operation":"list"}',
    '{"version":1,"id":4,"operation":"open","config":7}',
    '{"version":1,"id":5,"operation":"list","all":true}',
    '{"version":1,"id":6,"operation":"list"}',
    '[[[[',
    '\u0000',
  ];
  const replies = (await raw(t, daemon.socket, `${lines.join('\n')}\n`)).map(
    (line) => JSON.parse(line) as { id: number | null; error?: { code: string }; ok?: object },
  );
  assert.deepEqual(
    replies.map(({ id, error }) => [id, error?.code]),
    [
      [null, 'bad-json'],
      [2, 'unknown-operation'],
      [3, 'unsupported-version'],
      [4, 'wrong-type'],
      [5, 'unknown-field'],
      [6, undefined],
      [null, 'bad-json'],
      [null, 'bad-json'],
    ],
  );
  // More than the socket's buffers hold: it is told though the daemon reads no more lines.
  for (const size of [65_537, 70_000, 8 << 20]) {
    const [long] = await raw(t, daemon.socket, Buffer.alloc(size, 'x'));
    assert.match(long ?? '', /"line-too-long"/, `${size} bytes`);
    await assert.rejects((await client(t, daemon)).request('open', { config: 'x'.repeat(size) }), {
      code: 'line-too-long',
    });
  }
  // Whoever goes on sending has the time to read why; a broken pipe would say nothing.
  const talkative = connect({ path: daemon.socket, allowHalfOpen: true });
  t.after(() => talkative.destroy());
  talkative.write(Buffer.alloc(70_000, 'x'));
  const [why] = (await once(talkative, 'data')) as [Buffer];
  assert.match(why.toString(), /"line-too-long"/);
  await new Promise<void>((resolve, reject) => {
    talkative.once('error', reject);
    talkative.write('more', (error) => (error ? reject(error) : resolve()));
  });
  talkative.end();
  await once(talkative, 'close');
  const [half] = await raw(t, daemon.socket, '{"version":1,"id":1');
  assert.match(half ?? '', /"bad-json"/);
  const [whole] = await raw(t, daemon.socket, '{"version":1,"id":1,"operation":"list"}');
  assert.equal(whole, '{"id":1,"ok":{"devices":[]}}', 'a last line need not have an end');
  const sockets = Array.from({ length: 64 }, () => connect(daemon.socket));
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  let refused = '';
  while (!refused.includes('too-many-connections')) {
    refused = (await raw(t, daemon.socket, '')).join('');
  }
  // Those who are refused and stay are few at a time; the others wait for their turn.
  const crowd = Array.from({ length: 100 }, () => {
    const socket = connect({ path: daemon.socket, allowHalfOpen: true });
    return { socket, why: once(socket, 'data') };
  });
  t.after(() => crowd.forEach(({ socket }) => socket.destroy()));
  let descriptorsMax = 0;
  await Promise.all(
    crowd.map(async ({ socket, why }) => {
      assert.match(String((await why)[0]), /too-many-connections/);
      const descriptors = readdirSync(`/proc/${daemon.pid}/fd`).length;
      descriptorsMax = Math.max(descriptorsMax, descriptors);
      socket.destroy();
    }),
  );
  assert.ok(descriptorsMax < 64 + 40, `${descriptorsMax} descriptors`);
  sockets.forEach((socket) => socket.destroy());
  // It sees their ends one after the other.
  let answer = '';
  while (!answer.includes('"devices":[]')) {
    assert.ok(isRunning(daemon.pid));
    answer = (await raw(t, daemon.socket, '{"version":1,"id":1,"operation":"list"}')).join('');
  }
});

test('events tell what happens, and a slow reader of a gap', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const listener = await client(t, daemon);
  const events = listener.events();
  const first = events.next();
  const sluggish = connect(daemon.socket);
  t.after(() => sluggish.destroy());
  sluggish.write('{"version":1,"id":1,"operation":"events"}\n');
  await once(sluggish, 'readable');
  const config = readOnlyConfig(directory);
  await open(bd, config, 'told');
  await close(bd, 'told');
  const opened = await eventOf(first);
  assert.equal(opened.event, 'opened');
  assert.equal(opened['device'], 'told');
  assert.equal((await eventOf(events.next())).event, 'closed');
  // What fails is an event, too, and a quick way to many of them.
  const absent = join(directory, `${'absent'.repeat(30)}.json`);
  for (let turn = 0; turn < 25; turn += 1) {
    const opens = Array.from({ length: 100 }, () => bd.request('open', { config: absent }));
    const settled = await Promise.allSettled(opens);
    assert.ok(settled.every(({ status }) => status === 'rejected'));
  }
  assert.equal((await eventOf(events.next())).event, 'error');
  let text = '';
  sluggish.setEncoding('utf8');
  sluggish.on('data', (chunk: string) => (text += chunk));
  await until(() => /"event":"gap".*\n/.test(text));
  const gap = /\{"event":"gap".*\}/.exec(text)?.[0] ?? '{}';
  const told = text.split('\n').filter((line) => line.includes('"event":"error"')).length;
  assert.equal((JSON.parse(gap) as { missedCount: number }).missedCount + told, 2500);
});

test('damage is an I/O error, an event, and a line in the log', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const layer = join(directory, 'layer0.lz4');
  const bytes = readFileSync(`${fixtures}stack3/layer0.lz4`);
  bytes[2000] = bytes[2000]! ^ 1;
  writeFileSync(layer, bytes);
  const config = join(directory, 'damaged.json');
  writeFileSync(config, JSON.stringify({ lowers: [{ file: layer }] }));
  const { path } = await open(bd, config, 'damaged');
  assert.throws(() => sumOf(path), /Input\/output error/);
  await until(() => daemon.said(/a layer is damaged/).length > 0);
  const [line] = daemon.said(/a layer is damaged/);
  assert.equal(line?.['layer'], layer);
  assert.equal(line['device'], 'damaged');
  assert.equal(line['level'], 'error');
  assert.equal(typeof line['offset'], 'number');
  assert.notEqual(line['expectedSum'], line['actualSum']);
  const [device] = (await bd.request<{ devices: DeviceStats[] }>('stats')).devices;
  assert.ok(device!.damageCount > 0);
  assert.ok(device!.operations['read']!.errorCount > 0);
});

test('a second daemon refuses, and one that was killed leaves nothing', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const socket = join(directory, 'run/bd.sock');
  const daemon = await start(t, socket);
  await assert.rejects(start(t, socket), /belongs to a varve-bd that runs \(process \d+\)/);
  const elsewhere = join(directory, 'other.sock');
  await assert.rejects(
    start(t, elsewhere, ['--run-dir', join(directory, 'run')]),
    /the run directory .* belongs to a varve-bd that runs/,
  );
  const bd = await client(t, daemon);
  const config = writableConfig(directory);
  const names = ['killed-0', 'killed-1', 'killed-2'];
  for (const name of names) await open(bd, readOnlyConfig(directory), name);
  const { path } = await open(bd, config, 'killed-rw');
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(4096, 'kept'), 0, 4096, 0);
  fsyncSync(file);
  closeSync(file);
  assert.equal(await daemon.end('SIGKILL'), 'SIGKILL');
  await until(() => loopsOf('killed-').length === 0);
  assert.ok(existsSync(socket), 'the dead socket is still there');
  const next = await start(t, socket);
  const again = await client(t, next);
  assert.deepEqual(await list(again), []);
  const reopened = await open(again, config, 'killed-rw');
  const kept = Buffer.alloc(4096);
  const reader = openSync(reopened.path, 'r');
  readSync(reader, kept, 0, 4096, 0);
  closeSync(reader);
  assert.equal(kept.toString(), 'kept'.repeat(1024));
});

test('what a close waits for is written before the daemon ends', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const config = writableConfig(directory);
  const { path } = await open(bd, config, 'awaited');
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(4096, 'kept'), 0, 4096, 0);
  const waiting = bd.request('close', { device: 'awaited', mode: 'detach', patienceMs: 600_000 });
  waiting.catch(() => undefined);
  let work: string | null | undefined;
  while (work !== 'close') work = (await list(bd))[0]?.work;
  assert.equal(await daemon.end('SIGTERM'), 0);
  const [line] = daemon.said(/ends while the device is in use/);
  assert.match(JSON.stringify(line), new RegExp(`process ${process.pid} \\(`));
  closeSync(file);
  const next = await start(t, daemon.socket);
  const again = await client(t, next);
  const kept = readRange((await open(again, config, 'awaited')).path, 0, 4096);
  assert.equal(kept.toString(), 'kept'.repeat(1024));
});

test('without what devices need, the daemon says what is missing', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'bd.sock'), [], { lacking: 'sys_admin' });
  const [warning] = daemon.said(/CAP_SYS_ADMIN/);
  assert.match(String(warning?.['msg']), /no device can be attached: .* run it as root/);
  const config = readOnlyConfig(directory);
  await assert.rejects(open(await client(t, daemon), config, 'denied'), {
    code: 'attach-failed',
    message: /cannot be attached: .*lacks CAP_SYS_ADMIN: run it as root/,
  });
});

test('every command of varve bd works, for people and for programs', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const env = { VARVE_BD_SOCKET: daemon.socket };
  const run = async (...args: string[]) => varve(['bd', ...args], { env });
  const succeed = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const config = writableConfig(directory);
  assert.match(await succeed('open', config, '--device', 'cli'), /^\/dev\/loop\d+ {2}cli\n$/);
  assert.match(
    await succeed('ls'),
    /^DEVICE +PATH +TRANSPORT .*\ncli +\/dev\/loop\d+ +fuse +open +rw +20\.0 MiB/,
  );
  const listed = JSON.parse(await succeed('ls', '--json')) as { format: string; devices: object[] };
  assert.equal(listed.format, 'varve-bd-devices');
  assert.equal(listed.devices.length, 1);
  assert.match(await succeed('resize', 'cli', '24M'), /cli has 24\.0 MiB now/);
  const layer = join(directory, 'layer');
  assert.match(await succeed('commit', 'cli', layer, '--algorithm=zstd', '--tar'), /layer: \d/);
  assert.match(await succeed('stats'), /^DEVICE .*\ncli/);
  assert.match(await succeed('stats', '--prometheus'), /^varve_bd_devices 1$/m);
  assert.match(await succeed('seal', 'cli'), /cli is sealed/);
  assert.equal(await succeed('close', 'cli'), 'cli is closed.\n');
  assert.equal(await succeed('ls'), 'No devices.\n');

  const absent = await run('close', 'absent');
  assert.equal(absent.code, 4);
  assert.match(
    absent.stderr,
    /^varve: there is no device absent; varve bd ls shows those there are$/m,
  );
  const bad = await run('open', config, '--device', 'no/name');
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /^varve: the name of a device must be 1 to 128 letters/);
  const never = await run('open', config, '--deadline', '0');
  assert.equal(never.code, 2);
  assert.match(never.stderr, /^varve: --deadline must be from 1 to /);
  const nowhere = await run('open', join(directory, 'nowhere.json'));
  assert.match(nowhere.stderr, /mend the path, or put the file there$/m);
  await succeed('open', writableConfig(directory), '--device', 'first');
  const second = await run('open', config, '--device', 'second');
  assert.match(
    second.stderr,
    /layer of another device, .*; close it or wait for it to end first$/m,
  );
  await succeed('close', 'first');
  const folder = await run('ls', '--socket', directory);
  assert.match(folder.stderr, /^varve: .* is no socket: name its socket with --socket/);
  assert.equal((await run('resize', 'cli', 'much')).code, 2);
  assert.equal(await daemon.end('SIGTERM'), 0);
  const gone = await run('ls');
  assert.equal(gone.code, 3);
  assert.match(gone.stderr, /^varve: no varve-bd at .*: start varve-bd --socket/);
});

test('varve bd events prints what happens until the daemon ends', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const following = startVarve(['bd', 'events', '--json', '--socket', daemon.socket]);
  t.after(() => following.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  following.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  following.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(following, 'close');
  // It sees what happens once it listens.
  while (!stdout.includes('\n')) {
    await open(bd, readOnlyConfig(directory), 'followed');
    await close(bd, 'followed');
  }
  await daemon.end('SIGTERM');
  const [code] = (await ended) as [number];
  assert.match(stdout, /^\{"event":"(opened|closed)",.*"device":"followed"/m);
  assert.match(stderr, /ended: its devices are gone; start it and open them again/);
  assert.equal(code, 3);
});
