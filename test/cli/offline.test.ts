// What needs no daemon: wrong command lines, unreachable daemons, configuration, version, repair.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, test } from 'node:test';
import { commandsOf, varveProgram } from '../../src/cli/program.ts';
import { program, scratch, varve } from './varve.ts';
import type { RunOptions } from './varve.ts';

const place = scratch();
after(() => place.remove());
const inPlace = (name: string): string => path.join(place.path, name);

/** The command must fail with this code and exactly one line on stderr, and say nothing else. */
async function fails(
  code: number,
  message: RegExp,
  args: readonly string[],
  options: RunOptions = {},
): Promise<void> {
  const ended = await varve(args, options);
  assert.match(ended.stderr, message);
  assert.match(ended.stderr, /^varve: [^\n]*\n$/);
  assert.equal(ended.stdout, '');
  assert.equal(ended.code, code);
}

test('a wrong command line ends with 2 and says what would be right', async () => {
  await fails(2, /^varve: unknown command 'lss'; did you mean ls\?\n$/, ['lss']);
  await fails(2, /^varve: unknown command 'lss'; did you mean ls\?\n$/, ['help', 'lss']);
  await fails(2, /unknown command 'zzzz'; varve help shows what there is/, ['help', 'zzzz']);
  await fails(2, /unknown option '--jsn'; did you mean --json\?/, ['ls', '--jsn']);
  await fails(2, /missing required argument 'key'/, ['show']);
  await fails(2, /too many arguments for 'ls'/, ['ls', 'box']);
  await fails(2, /argument '1x' is invalid\. It must be a whole number/, ['replay', '--at', '1x']);
  await fails(2, /required option '--from <position>' not specified/, ['diff']);
  await fails(2, /--from 3 is after --to 1: exchange them/, ['diff', '--from', '3', '--to', '1']);
  await fails(2, /--to and --follow contradict/, ['events', '--to', '3', '--follow']);
  await fails(2, /--address is the string "\/x\/"; it must be/, ['ls', '--address', '/x/']);
});

test('without a command the help is on stderr with 2; asked for, on stdout with 0', async () => {
  const bare = await varve([]);
  assert.deepEqual([bare.code, bare.stdout], [2, '']);
  assert.match(bare.stderr, /^Usage: varve/);
  const asked = await varve(['--help']);
  assert.deepEqual([asked.code, asked.stderr], [0, '']);
  assert.match(asked.stdout, /^Usage: varve/);
  assert.deepEqual(await varve(['help']), asked);
  const ofDump = await varve(['help', 'config', 'dump']);
  assert.deepEqual([ofDump.code, ofDump.stderr], [0, '']);
  assert.match(ofDump.stdout, /^Usage: varve config dump/);
});

test('a daemon that is not there ends with 3 and says how to name or start it', async () => {
  const address = inPlace('none.sock');
  await fails(3, /no varve daemon at .*admin\.sock: start varve serve, or name/, [
    'ls',
    '--address',
    address,
  ]);
  writeFileSync(inPlace('file'), '');
  await fails(3, /file is not a socket: name the daemon's/, [
    'status',
    '--admin-address',
    inPlace('file'),
  ]);
});

test('a socket that a dead daemon left behind ends with 3', async () => {
  const socket = inPlace('dead.sock');
  const die = "() => process.kill(process.pid, 'SIGKILL')";
  const script = `require('node:net').createServer().listen(${JSON.stringify(socket)}, ${die})`;
  assert.throws(() => execFileSync(process.execPath, ['-e', script], { stdio: 'ignore' }));
  await fails(3, /the varve daemon at .*dead\.sock is not running/, [
    'tree',
    '--admin-address',
    socket,
  ]);
});

test('somebody else on the socket is a failure in one line, not a hang', async () => {
  const socket = inPlace('other.sock');
  const server = createServer((connection) => {
    connection.on('error', () => undefined);
    connection.end('HTTP/1.1 400 Bad\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    await fails(3, /./, ['ls', '--admin-address', socket]);
  } finally {
    server.close();
  }
});

test('a socket that one may not use ends with 9', async (t) => {
  const folder = inPlace('closed');
  mkdirSync(folder);
  chmodSync(folder, 0);
  chmodSync(place.path, 0o755);
  // Root may use every socket: then the command runs as nobody, if nobody can read the sources.
  const uid = process.getuid?.() === 0 ? 65_534 : undefined;
  const options = uid === undefined ? {} : { uid };
  const canRun = await varve(['version'], options).then(
    ({ code }) => code === 0,
    () => false,
  );
  if (!canRun) return t.skip('nobody cannot read the sources');
  const args = ['ls', '--admin-address', path.join(folder, 'admin.sock')];
  await fails(9, /permission denied at .*: run this as root/, args, options);
});

test('config default prints a file that config check finds valid', async () => {
  const file = inPlace('default.json');
  const printed = await varve(['config', 'default']);
  writeFileSync(file, printed.stdout);
  const checked = await varve(['config', 'check', file]);
  assert.deepEqual([checked.code, checked.stdout], [0, `${file}: valid\n`]);
  const dumped = await varve(['config', 'dump', '--config', file, '--json']);
  const document = JSON.parse(dumped.stdout) as { origins: Record<string, string> };
  assert.equal(document.origins['root'], `file ${file}`);
});

test('config check names every problem on a line of its own and ends with 8', async () => {
  const file = inPlace('wrong.json');
  writeFileSync(file, '{"asynRemove": true, "logReportCaller": true}');
  const checked = await varve(['config', 'check', file]);
  assert.equal(checked.code, 8);
  assert.deepEqual(checked.stderr.trimEnd().split('\n'), [
    `varve: ${file}: "asynRemove" is not a key; did you mean "asyncRemove"?`,
    `varve: ${file}: "logReportCaller" is true; this version accepts only false: ` +
      'callers in log lines come with a later release',
  ]);
  const json = await varve(['config', 'check', file, '--json']);
  const result = JSON.parse(json.stdout) as { isValid: boolean; problems: string[] };
  assert.equal(result.isValid, false);
  assert.equal(result.problems.length, 2);
});

test('serve refuses a wrong configuration with 8 before it touches anything', async () => {
  await fails(8, /--log-level is the string "loud"; it must be one of/, [
    'serve',
    '--root',
    inPlace('root'),
    '--log-level',
    'loud',
  ]);
  await fails(8, /no such file; varve config default prints one/, [
    'serve',
    '--config',
    inPlace('absent.json'),
  ]);
});

test('the log of serve on a terminal has colours, and none under NO_COLOR', async () => {
  const root = inPlace('no-directory');
  writeFileSync(root, '');
  const words = ['serve', '--root', root, '--config', inPlace('empty.json')];
  words.push('--address', inPlace('s.sock'));
  const command = [process.execPath, program, ...words].map((word) => `'${word}'`).join(' ');
  writeFileSync(inPlace('empty.json'), '{}');
  const logged = (environment: Readonly<Record<string, string>>): string => {
    const { NO_COLOR: _, ...rest } = process.env;
    const env = { ...rest, TERM: 'xterm', ...environment };
    // It gives the command a terminal.
    return spawnSync('script', ['-qec', command, '/dev/null'], { env, encoding: 'utf8' }).stdout;
  };
  assert.ok(logged({}).includes('\u001b['));
  const plain = logged({ NO_COLOR: '1' });
  assert.match(plain, /cannot start/);
  assert.equal(plain.includes('\u001b['), false, plain);
});

test('a history file that is not there, or is none, is refused', async () => {
  await fails(1, /no such file: name one that varve export wrote/, ['replay', '--file', '/absent']);
  await fails(6, /line 1: not valid JSON/, ['verify', '--file', import.meta.filename]);
  await fails(1, /it is a directory/, ['replay', '--file', place.path]);
});

test('repair refuses a directory that holds no log, and makes none there', async () => {
  await fails(1, /holds no log of varve: name the data directory/, [
    'repair',
    '--root',
    place.path,
  ]);
});

test('version is one line, or one document', async () => {
  const text = await varve(['version']);
  assert.match(text.stdout, /^varve \d+\.\d+\.\d+ \(Node v\d+/);
  const json = JSON.parse((await varve(['version', '--json'])).stdout) as { varve: string };
  assert.match(json.varve, /^\d+\.\d+\.\d+$/);
  assert.equal((await varve(['--version'])).stdout, `varve ${json.varve}\n`);
});

test('every command that answers something has --json', () => {
  const without = commandsOf(varveProgram())
    .filter((command) => command.commands.length === 0)
    .filter((command) => !command.options.some(({ long }) => long === '--json'))
    .map((command) => command.name());
  assert.deepEqual(without.sort(), ['completion', 'help', 'serve', 'up']);
});
