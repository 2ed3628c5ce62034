// varve export: what becomes of the name that it is given, and of what it had written when it ends
// early. The daemon is a stand-in: only the bytes matter here.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { fakeDaemon } from './fake-daemon.ts';
import { program, scratch, startVarve, varve } from './varve.ts';

type ExportCall = ServerWritableStream<object, { readonly content: Buffer }>;

const place = scratch();
const whole = path.join(place.path, 'whole.sock');
const endless = path.join(place.path, 'endless.sock');
const history = '{"kind":"header"}\n{"kind":"trailer"}\n';
const stops: (() => void)[] = [];

before(async () => {
  const write = (call: ExportCall): void => void call.write({ content: Buffer.from(history) });
  const answer = (call: ExportCall): void => {
    write(call);
    call.end();
  };
  stops.push(await fakeDaemon(whole, { inspect: { export: answer as never } }));
  stops.push(await fakeDaemon(endless, { inspect: { export: write as never } }));
});

after(() => {
  for (const stop of stops) stop();
  place.remove();
});

const inPlace = (name: string): string => path.join(place.path, name);
const exported = (file: string) => varve(['export', file, '--admin-address', whole]);
const partials = (): readonly string[] =>
  readdirSync(place.path).filter((name) => name.includes('partial'));

test('an export onto a link writes the file that it leads to, and leaves the link', async () => {
  writeFileSync(inPlace('real'), 'old');
  symlinkSync('real', inPlace('link'));
  assert.equal((await exported(inPlace('link'))).code, 0);
  assert.equal(lstatSync(inPlace('link')).isSymbolicLink(), true);
  assert.equal(readFileSync(inPlace('real'), 'utf8'), history);
  symlinkSync('absent', inPlace('dangling'));
  const { code, stderr } = await exported(inPlace('dangling'));
  assert.deepEqual([code, stderr.trimEnd().split('\n').length], [1, 1]);
  assert.match(stderr, /dangling: is a link to absent, which is not there: name that file itself/);
});

test('an export into a pipe goes to its reader, and the pipe stays', async () => {
  const fifo = inPlace('fifo');
  execFileSync('mkfifo', [fifo]);
  const unread = await exported(fifo);
  assert.match(unread.stderr, /fifo: nobody reads there: start the reader first/);
  // Opened for both sides, as a shell does with `<>`, so that nothing waits for anything.
  const command = '"$NODE" "$MAIN" export "$F" --admin-address "$A" && head -n 1 <&3';
  const child = spawn('bash', ['-c', `exec 3<>"$F"; ${command}`], {
    env: { ...process.env, NODE: process.execPath, MAIN: program, F: fifo, A: whole },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.deepEqual([code, output.split('\n').at(-2)], [0, '{"kind":"header"}']);
  assert.equal(lstatSync(fifo).isFIFO(), true);
});

const isRoot = process.getuid?.() === 0;
test('an export onto a device leaves the device', { skip: !isRoot && 'needs root' }, async (t) => {
  const device = inPlace('null');
  try {
    execFileSync('mknod', [device, 'c', '1', '3'], { stdio: 'ignore' });
  } catch {
    return t.skip('no devices can be made here');
  }
  assert.equal((await exported(device)).code, 0);
  assert.equal(lstatSync(device).isCharacterDevice(), true);
});

test('a link to the output itself, as /dev/stdout is one, is the output', async () => {
  symlinkSync('/proc/self/fd/1', inPlace('stdout'));
  assert.deepEqual(await exported(inPlace('stdout')), await exported('-'));
  assert.equal(lstatSync(inPlace('stdout')).isSymbolicLink(), true);
});

test('an export onto a directory, or without a name, says what to name', async () => {
  mkdirSync(inPlace('folder'));
  const folder = await exported(inPlace('folder'));
  assert.equal(folder.code, 1);
  assert.match(folder.stderr, /^varve: .*folder: is a directory: name a file in it\n$/);
  const nameless = await exported('');
  assert.equal(nameless.code, 2);
  assert.match(nameless.stderr, /^varve: name a file to write, or - for stdout\n$/);
});

/** For the command: what it opens is there for a while before it knows. */
const openLate = `data:text/javascript,
  import promises from 'node:fs/promises';
  import { syncBuiltinESMExports } from 'node:module';
  const { open } = promises;
  promises.open = async (...opened) => {
    const handle = await open(...opened);
    await new Promise((resolve) => setTimeout(resolve, 200));
    return handle;
  };
  syncBuiltinESMExports();`;

const lateEnvironment = { NODE_OPTIONS: `--import="${openLate.replaceAll('\n', '')}"` };
const moments = [
  { moment: 'as soon as there is a file', env: lateEnvironment, sizeBytesMin: 0 },
  { moment: 'while it writes', env: {}, sizeBytesMin: 1 },
];

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', null],
  ['SIGHUP', null],
] as const) {
  for (const { moment, env, sizeBytesMin } of moments) {
    test(`an export that ${signal} ends ${moment} leaves nothing half-written`, async () => {
      const file = inPlace(`ended-by-${signal}`);
      const child = startVarve(['export', file, '--admin-address', endless], { env });
      const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
      const isReached = (): boolean =>
        partials().some((name) => statSync(inPlace(name)).size >= sizeBytesMin);
      while (!isReached()) await new Promise((resolve) => setImmediate(resolve));
      child.kill(signal);
      assert.deepEqual(await ended, [code, code === null ? signal : null]);
      assert.deepEqual(partials(), []);
      assert.equal(existsSync(file), false);
    });
  }
}

test('output that cannot be written is one line, not a stack', async () => {
  const command = '"$NODE" "$MAIN" completion bash >/dev/full';
  const child = spawn('bash', ['-c', command], {
    env: { ...process.env, NODE: process.execPath, MAIN: program },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(
    stderr,
    'varve: the output cannot be written: the disk is full: make room, or ' + 'write elsewhere\n',
  );
  assert.equal(code, 1);
});
