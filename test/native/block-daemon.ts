// What tests of varve-bd share: the daemon as a process, its client, images of golden layers, and
// the devices that the kernel has.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { after, type TestContext } from 'node:test';

import {
  BlockDaemonClient,
  type BlockDaemonEvent,
} from '../../src/adapters/block-daemon/client.ts';
import { findNativeFile } from '../../src/adapters/native/location.ts';
import type { BlockDevice, DeviceUser } from '../../src/cli/block-devices/documents.ts';
import { deviceObstacle } from './device-obstacle.ts';
import { tool } from './layer-tool.ts';
import { runProgram } from './scratch.ts';

export const fixtures = fileURLToPath(new URL('../fixtures/layers/', import.meta.url));

export const skip = deviceObstacle() ?? false;

export type Line = Readonly<Record<string, unknown>>;

export class Daemon {
  readonly socket: string;
  readonly lines: Line[] = [];
  readonly child: ChildProcess;

  constructor(child: ChildProcess, socket: string) {
    this.child = child;
    this.socket = socket;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  said(message: RegExp): readonly Line[] {
    return this.lines.filter(({ msg }) => message.test(String(msg)));
  }

  /** Sends a signal and answers how it ended. */
  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    const { child } = this;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    }
    return child.exitCode ?? child.signalCode;
  }
}

/**
 * The daemon; VARVE_BD_PROGRAM names one that was built with sanitizers, which is taken alone from
 * its build, since Node cannot load such a library.
 */
function findProgram(name: 'varve-bd' | 'varve-bd-holder'): string {
  const daemon = process.env['VARVE_BD_PROGRAM'];
  return daemon === undefined ? findNativeFile(name) : join(dirname(daemon), name);
}

/** The environment, with sanitizers that end the daemon as soon as they find something. */
const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  TSAN_OPTIONS: `halt_on_error=1:${process.env['TSAN_OPTIONS'] ?? ''}`,
  UBSAN_OPTIONS: `print_stacktrace=1:${process.env['UBSAN_OPTIONS'] ?? ''}`,
});

// Tests kill the daemon, so its end alone would fail none that is over: here all of them are told.
const reports: string[] = [];
after(() => assert.deepEqual(reports, [], reports.join('\n')));

function findReport(test: string, said: readonly string[]): void {
  const text = said.join('\n');
  const at = text.search(/^.*(ERROR|WARNING): \w+Sanitizer|^.*: runtime error: /m);
  if (at === -1) return;
  const report = `${test}:\n${text.slice(at)}`;
  reports.push(report);
  // At once: a device that nobody serves any more may hang what would tell it at the end.
  process.stderr.write(`${report}\n`);
}

/** Starts a holder that ends with the test; resolves once it serves. */
export async function startHolder(t: TestContext, socket: string): Promise<Daemon> {
  const command = [findProgram('varve-bd-holder'), '--socket', socket];
  return startProgram(t, command, socket, '"msg":"holding');
}

/**
 * Starts a daemon that ends with the test, without the capability `lacking`; resolves once it
 * serves, or tells what it said.
 */
export async function start(
  t: TestContext,
  socket: string,
  flags: readonly string[] = [],
  { lacking }: { readonly lacking?: string } = {},
): Promise<Daemon> {
  const command = [findProgram('varve-bd'), '--socket', socket, ...flags];
  const whole = lacking ? ['setpriv', `--bounding-set=-${lacking}`, ...command] : command;
  return startProgram(t, whole, socket, '"msg":"serving"');
}

async function startProgram(
  t: TestContext,
  [program = '', ...args]: readonly string[],
  socket: string,
  mark: string,
): Promise<Daemon> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: environment(),
  });
  const daemon = new Daemon(child, socket);
  const said: string[] = [];
  const closed = new Promise((resolve) => child.once('close', resolve)).then(() =>
    findReport(t.name, said),
  );
  t.after(async () => {
    await daemon.end('SIGKILL');
    await closed;
  });
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`the daemon ended: ${said.join('\n')}`)));
    createInterface(child.stderr).on('line', (line) => {
      said.push(line);
      if (line.startsWith('{')) daemon.lines.push(JSON.parse(line) as Line);
      if (line.includes(mark)) resolve();
    });
  });
  return daemon;
}

export async function client(t: TestContext, daemon: Daemon): Promise<BlockDaemonClient> {
  const connection = await BlockDaemonClient.connect(daemon.socket);
  t.after(() => connection.close());
  return connection;
}

export const eventOf = async (
  next: Promise<IteratorResult<BlockDaemonEvent>>,
): Promise<BlockDaemonEvent> => (await next).value as BlockDaemonEvent;

export interface Opened {
  readonly device: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
}

export const open = (bd: BlockDaemonClient, config: string, device: string): Promise<Opened> =>
  bd.request<Opened>('open', { config, device });
export const close = (bd: BlockDaemonClient, device: string, mode?: string) =>
  bd.request<{ gone: boolean; users: DeviceUser[] }>('close', { device, mode });
export const list = async (bd: BlockDaemonClient): Promise<readonly BlockDevice[]> =>
  (await bd.request<{ devices: BlockDevice[] }>('list')).devices;

/** A configuration of the three golden layers, 20 MiB. */
export function readOnlyConfig(directory: string, name = 'ro', more: object = {}): string {
  const path = join(directory, `${name}.json`);
  const lowers = ['layer0.lz4', 'layer1.lsmt', 'layer2.zstd.tar'].map((file) => ({
    file: `${fixtures}stack3/${file}`,
  }));
  writeFileSync(path, JSON.stringify({ lowers, ...more }));
  return path;
}

/** The same with a copy of a writable layer on top. */
export function writableConfig(directory: string, name = 'rw', more: object = {}): string {
  const upper = { data: join(directory, `${name}.data`), index: join(directory, `${name}.index`) };
  copyFileSync(`${fixtures}rw-append/data`, upper.data);
  copyFileSync(`${fixtures}rw-append/index`, upper.index);
  for (const path of Object.values(upper)) chmodSync(path, 0o600);
  return readOnlyConfig(directory, name, { upper, ...more });
}

export const expectedSum = (folder: string): string =>
  (JSON.parse(readFileSync(`${fixtures}${folder}/expected.json`, 'utf8')) as { sha256: string })
    .sha256;
export const sumOf = (path: string): string => runProgram('sha256sum', [path]).split(' ')[0] ?? '';

// The name that the daemon gave a loop device is told by an ioctl alone: its file lies in a mount
// that has no path. struct loop_info64 has it at 56, of 232 bytes.
const listLoops = `
for (glob "/sys/block/loop*/loop") {
  my ($name) = m{block/(loop\\d+)/};
  sysopen(my $file, "/dev/$name", 0) or next;
  my $info = "\\0" x 232;
  my $LOOP_GET_STATUS64 = 0x4C05;
  ioctl($file, $LOOP_GET_STATUS64, $info) and print "$name ", unpack("x56 Z64", $info), "\\n";
}`;

/** The loop devices that a daemon has attached for devices whose names begin like this. */
export const loopsOf = (device: string): readonly string[] =>
  runProgram('perl', ['-e', listLoops])
    .split('\n')
    .map((line) => line.split(' varve-bd '))
    .filter(([, name]) => name?.startsWith(device))
    .map(([loop]) => loop!);

export interface Upper {
  readonly data: string;
  readonly index: string;
}
export type UpperKind = 'append-only' | 'sparse';
export const upperKinds: readonly UpperKind[] = ['append-only', 'sparse'];

/** Makes an empty writable layer; its size as varve-layer takes it, with a unit. */
export function createUpper(directory: string, name: string, kind: UpperKind, size: string): Upper {
  const upper = { data: join(directory, `${name}.data`), index: join(directory, `${name}.index`) };
  tool('create', ...(kind === 'sparse' ? ['--sparse'] : []), upper.data, upper.index, size);
  return upper;
}

/** What the tests give to varve-bd's commit. */
export const commitFormats = [
  { name: 'raw', algorithm: 'none', tar: false },
  { name: 'lz4', algorithm: 'lz4', tar: false },
  { name: 'zstd in a tar archive', algorithm: 'zstd', tar: true },
] as const;

/** Whether a program that not every machine has is there. */
export const hasProgram = (name: string): boolean =>
  spawnSync('sh', ['-c', 'command -v "$1"', 'sh', name]).status === 0;

/** Reads a range of a device or file. */
export function readRange(path: string, offset: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  const file = openSync(path, 'r');
  try {
    for (let done = 0; done < lengthBytes;) {
      const count = readSync(file, bytes, done, lengthBytes - done, offset + done);
      if (count === 0) throw new Error(`${path} ends before ${offset + lengthBytes}`);
      done += count;
    }
  } finally {
    closeSync(file);
  }
  return bytes;
}
