// Devices of varve-bd with a holder outlive it: whoever reads and writes waits, and nothing fails
// or is wrong. With a kernel that sends requests again, and with the requests that the holder
// keeps, as on older ones. VARVE_LONG=1 kills 50 times each.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import { varve } from '../cli/varve.ts';
import {
  client,
  close,
  createUpper,
  expectedSum,
  hasProgram,
  list,
  loopsOf,
  open,
  readOnlyConfig,
  skip,
  start,
  startHolder,
  sumOf,
  upperKinds,
  writableConfig,
  type Daemon,
} from './block-daemon.ts';
import { writeConfig } from './layer-tool.ts';
import { chooseSeed, randomNumbers } from './random.ts';
import { isRunning, runProgram, scratchDirectory, until } from './scratch.ts';

const isLong = process.env['VARVE_LONG'] === '1';
const killCount = isLong ? 50 : 5;

/** A holder, and the daemons that follow each other with it. */
class Line {
  readonly directory: string;
  readonly #t: TestContext;
  readonly #flags: readonly string[];
  holder: Daemon;
  daemon: Daemon;
  bd: BlockDaemonClient;

  private constructor(
    t: TestContext,
    directory: string,
    flags: readonly string[],
    parts: { holder: Daemon; daemon: Daemon; bd: BlockDaemonClient },
  ) {
    this.#t = t;
    this.directory = directory;
    this.#flags = flags;
    this.holder = parts.holder;
    this.daemon = parts.daemon;
    this.bd = parts.bd;
  }

  static async start(t: TestContext, ...more: readonly string[]): Promise<Line> {
    const directory = scratchDirectory(t);
    const holder = await startHolder(t, join(directory, 'holder.sock'));
    const flags = ['--holder', holder.socket, ...more];
    const daemon = await start(t, join(directory, 'bd.sock'), flags);
    return new Line(t, directory, flags, { holder, daemon, bd: await client(t, daemon) });
  }

  /** Ends the daemon and starts the next one. */
  async replace(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const status = await this.daemon.end(signal);
    assert.equal(status, signal === 'SIGKILL' ? 'SIGKILL' : 0);
    await this.startNext();
  }

  async startNext(): Promise<void> {
    this.daemon = await start(this.#t, join(this.directory, 'bd.sock'), this.#flags);
    this.bd = await client(this.#t, this.daemon);
  }

  async startNextHolder(): Promise<void> {
    this.holder = await startHolder(this.#t, this.holder.socket);
  }

  /** Until no device waits for its image. */
  async recovered(): Promise<void> {
    const endsAt = Date.now() + 30_000;
    while ((await list(this.bd)).some(({ state }) => state === 'recovering')) {
      assert.ok(Date.now() < endsAt, JSON.stringify(await list(this.bd)));
      await delay(5);
    }
  }

  /** That nothing is left of any device, and that the holder knows it. */
  async end(): Promise<void> {
    assert.deepEqual(await list(this.bd), []);
    assert.equal(await this.daemon.end('SIGINT'), 0);
    assert.equal(await this.holder.end('SIGTERM'), 0);
  }
}

interface Fio {
  readonly ended: Promise<void>;
  readonly isRunning: () => boolean;
}

/** Writes at random and verifies what it wrote, for so long. */
function fio(t: TestContext, path: string, seconds: number): Fio {
  const child = spawn(
    'fio',
    [
      '--name=load',
      `--filename=${path}`,
      '--rw=randwrite',
      '--bsrange=4k-64k',
      '--direct=1',
      '--ioengine=libaio',
      '--iodepth=8',
      '--serialize_overlap=1',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_backlog=64',
      '--verify_state_save=0',
      '--time_based',
      `--runtime=${seconds}`,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (text: Buffer) => (said += text.toString()));
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  const ended = once(child, 'close').then(([status]) => assert.equal(status, 0, said));
  return { ended, isRunning: () => child.exitCode === null };
}

/** A file that is closed by the end of the test at the latest. */
function openFile(t: TestContext, path: string) {
  let file: number | undefined = openSync(path, 'r');
  const close = (): void => {
    if (file !== undefined) closeSync(file);
    file = undefined;
  };
  t.after(close);
  const read = (offset: number, lengthBytes: number): number =>
    file === undefined ? 0 : readSync(file, Buffer.alloc(lengthBytes), 0, lengthBytes, offset);
  return { close, read };
}

for (const resend of [true, false]) {
  const how = resend ? 'the kernel sends requests again' : 'the holder keeps requests';
  for (const kind of upperKinds) {
    const name = `${killCount} kills under the load of a device (${kind}), ${how}`;
    test(name, { skip, timeout: 240_000 }, async (t) => {
      if (!hasProgram('fio')) return t.skip('needs fio');
      const line = await Line.start(t, ...(resend ? [] : ['--no-resend']));
      const seed = chooseSeed(t);
      const random = randomNumbers(seed);
      const upper = createUpper(line.directory, 'rw', kind, '32M');
      const written = await open(
        line.bd,
        writeConfig(join(line.directory, 'rw.json'), { upper }),
        'written',
      );
      const read = await open(line.bd, readOnlyConfig(line.directory), 'read');
      const load = fio(t, written.path, isLong ? 40 : 5);
      let wrongSums = 0;
      let isReading = true;
      t.after(() => (isReading = false));
      const reader = (async () => {
        while (isReading) {
          const child = spawn('sha256sum', [read.path], { stdio: ['ignore', 'pipe', 'ignore'] });
          t.after(() => child.kill('SIGKILL'));
          let sum = '';
          child.stdout.on('data', (text: Buffer) => (sum += text.toString()));
          const [status] = (await once(child, 'close')) as [number];
          if (status !== 0 || sum.split(' ')[0] !== expectedSum('stack3')) wrongSums += 1;
          runProgram('blockdev', ['--flushbufs', read.path]);
        }
      })();
      for (let kill = 0; kill < killCount; kill += 1) {
        await delay(50 + random(500));
        await line.replace();
      }
      assert.ok(load.isRunning(), 'the load lasted over all kills');
      await load.ended;
      isReading = false;
      await reader;
      assert.equal(wrongSums, 0);
      const states = (await list(line.bd)).map(({ device, state }) => [device, state]);
      assert.deepEqual(states, [
        ['read', 'open'],
        ['written', 'open'],
      ]);
      for (const device of ['read', 'written']) await close(line.bd, device);
      await line.end();
    });
  }
}

test('a daemon that is told to end leaves its devices to the next one', { skip }, async (t) => {
  const line = await Line.start(t);
  const { path } = await open(line.bd, readOnlyConfig(line.directory), 'kept');
  const file = openFile(t, path);
  await line.replace('SIGTERM');
  assert.equal(file.read(0, 512), 512);
  await line.recovered();
  const [device] = await list(line.bd);
  assert.equal(device?.path, path);
  assert.equal(sumOf(path), expectedSum('stack3'));
  file.close();
  assert.equal((await close(line.bd, 'kept')).gone, true);
  await line.end();
});

test('an interrupt ends the devices, too', { skip }, async (t) => {
  const line = await Line.start(t);
  await open(line.bd, readOnlyConfig(line.directory), 'interrupted');
  assert.equal(await line.daemon.end('SIGINT'), 0);
  assert.deepEqual(loopsOf('interrupted'), []);
  assert.equal(await line.holder.end('SIGTERM'), 0);
});

test('the holder does not end while it holds a device', { skip }, async (t) => {
  const line = await Line.start(t);
  await open(line.bd, readOnlyConfig(line.directory), 'held');
  line.holder.child.kill('SIGTERM');
  await until(() => line.holder.said(/asked to end/).length > 0);
  assert.ok(isRunning(line.holder.pid));
  await close(line.bd, 'held');
  assert.equal(await line.daemon.end('SIGINT'), 0);
  await until(() => !isRunning(line.holder.pid));
});

test('a holder that was killed gets everything back from the daemon', { skip }, async (t) => {
  const line = await Line.start(t);
  const { path } = await open(line.bd, writableConfig(line.directory), 'again');
  await line.holder.end('SIGKILL');
  await until(() => line.daemon.said(/devices end with this process/).length > 0);
  assert.equal(sumOf(path), expectedSum('rw-append'), 'it is served on');
  await line.startNextHolder();
  await until(() => line.daemon.said(/devices outlive this process/).length === 2);
  await line.replace();
  assert.equal(sumOf(path), expectedSum('rw-append'));
  await line.recovered();
  await close(line.bd, 'again');
  await line.end();
});

test('a holder that takes long is waited for', { skip }, async (t) => {
  const line = await Line.start(t);
  const { path } = await open(line.bd, readOnlyConfig(line.directory), 'patient');
  await line.daemon.end('SIGKILL');
  line.holder.child.kill('SIGSTOP');
  const starting = line.startNext();
  // Longer than one question to it may take.
  await delay(3_000);
  line.holder.child.kill('SIGCONT');
  await starting;
  assert.deepEqual(
    (await list(line.bd)).map(({ device }) => device),
    ['patient'],
  );
  assert.equal(sumOf(path), expectedSum('stack3'));
  await line.recovered();
  await close(line.bd, 'patient');
  await line.end();
});

test(
  'without its holder a device ends with the daemon, as it does without one',
  { skip },
  async (t) => {
    const line = await Line.start(t);
    await open(line.bd, readOnlyConfig(line.directory), 'alone');
    await line.holder.end('SIGKILL');
    await line.daemon.end('SIGKILL');
    await until(() => loopsOf('alone').length === 0);
  },
);

test('a device whose image is missing waits for it, or is given up', { skip }, async (t) => {
  const line = await Line.start(t);
  const config = writableConfig(line.directory);
  const { path } = await open(line.bd, config, 'missing');
  const data = join(line.directory, 'rw.data');
  const readLater = async (): Promise<number | null> => {
    const child = spawn('dd', [`if=${path}`, 'of=/dev/null', 'count=1', 'iflag=direct'], {
      stdio: 'ignore',
    });
    const [status] = (await once(child, 'close')) as [number | null];
    return status;
  };

  await line.daemon.end('SIGKILL');
  renameSync(data, `${data}.away`);
  await line.startNext();
  const reading = readLater();
  await until(() => line.daemon.said(/cannot be served: its users wait/).length > 0);
  const [waiting] = await list(line.bd);
  assert.equal(waiting?.state, 'recovering');
  assert.match(waiting.problem ?? '', /rw\.data/);
  const { stdout } = await varve(['bd', 'ls', '--socket', line.daemon.socket]);
  assert.match(stdout, /^missing is not served again yet: .*rw\.data/m);
  await assert.rejects(close(line.bd, 'missing'), /not served again yet.*mode abort/);
  await assert.rejects(
    line.bd.request('seal', { device: 'missing' }),
    /not served again yet.*try again/,
  );
  renameSync(`${data}.away`, data);
  assert.equal(await reading, 0);
  assert.equal(sumOf(path), expectedSum('rw-append'));

  await line.daemon.end('SIGKILL');
  renameSync(data, `${data}.away`);
  await line.startNext();
  const failing = readLater();
  await until(() => line.daemon.said(/cannot be served: its users wait/).length > 0);
  // While it waits, the holder is replaced, and the daemon after that.
  await line.holder.end('SIGKILL');
  await until(() => line.daemon.said(/devices end with this process/).length > 0);
  await line.startNextHolder();
  await until(() => line.daemon.said(/devices outlive this process/).length === 2);
  await line.replace();
  await until(() => line.daemon.said(/cannot be served: its users wait/).length > 0);
  assert.equal((await close(line.bd, 'missing', 'abort')).gone, true);
  assert.notEqual(await failing, 0);
  await until(() => loopsOf('missing').length === 0);
  await line.end();
});

test(
  'a successor serves what was opened, whatever the configuration says by then',
  { skip },
  async (t) => {
    const line = await Line.start(t);
    const config = readOnlyConfig(line.directory);
    const { path } = await open(line.bd, config, 'changed');
    writeFileSync(config, '{"lowers":[]}');
    await line.replace();
    assert.equal(sumOf(path), expectedSum('stack3'));
    assert.equal(readFileSync(config, 'utf8'), '{"lowers":[]}');
    await line.recovered();
    await close(line.bd, 'changed');
    await line.end();
  },
);

test(
  'what became of a device before survives, too: its size, its seal, its letting go',
  { skip },
  async (t) => {
    const line = await Line.start(t);
    const { path } = await open(line.bd, writableConfig(line.directory), 'sealed');
    await line.bd.request('seal', { device: 'sealed' });
    const upper = createUpper(line.directory, 'larger', 'append-only', '8M');
    const larger = await open(
      line.bd,
      writeConfig(join(line.directory, 'larger.json'), { upper }),
      'larger',
    );
    await line.bd.request('resize', { device: 'larger', sizeBytes: 16 << 20 });
    const letGo = await open(line.bd, readOnlyConfig(line.directory), 'let-go');
    const file = openFile(t, letGo.path);
    const closing = { device: 'let-go', mode: 'detach', patienceMs: 50 };
    assert.equal((await line.bd.request<{ gone: boolean }>('close', closing)).gone, false);

    await line.replace();
    await line.recovered();
    const states = new Map((await list(line.bd)).map((one) => [one.device, one]));
    assert.equal(states.get('sealed')?.state, 'sealed');
    assert.equal(sumOf(path), expectedSum('rw-append'));
    assert.equal(states.get('larger')?.sizeBytes, 16 << 20);
    assert.equal(runProgram('blockdev', ['--getsize64', larger.path]), String(16 << 20));
    assert.equal(states.get('let-go')?.state, 'closing');
    assert.equal(file.read(8192, 4096), 4096);
    file.close();
    for (const device of ['sealed', 'larger']) await close(line.bd, device);
    await until(() => loopsOf('let-go').length === 0);
    while ((await list(line.bd)).length > 0) await delay(20);
    await line.end();
  },
);

test('100 devices are served again', { skip }, async (t) => {
  const line = await Line.start(t);
  const config = readOnlyConfig(line.directory);
  const names = Array.from({ length: 100 }, (_, index) => `many-${index}`);
  const opened = await Promise.all(names.map((name) => open(line.bd, config, name)));
  await line.replace();
  for (const { path } of opened) {
    runProgram('dd', [`if=${path}`, 'of=/dev/null', 'count=1', 'iflag=direct', 'status=none']);
  }
  await line.recovered();
  await Promise.all(names.map((name) => close(line.bd, name)));
  await line.end();
});
