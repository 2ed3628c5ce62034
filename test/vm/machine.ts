// Runs one command as root in a virtual machine with a kernel of its own, on QEMU without KVM,
// which is not everywhere. Its root is this machine's, read-only, so every program and file is
// there under its path; what is written there is gone afterwards. /scratch is a memory file system,
// or a disk that is kept. All that belongs to a machine is one process, which ends with this one
// however that ends; its files have no names.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { runCommand } from '../e2e/lab/command.ts';
import { staticBusybox } from '../e2e/lab/debian-packages.ts';
import { onInterruption } from '../e2e/lab/interruption.ts';
import { makeInitramfs } from './initramfs.ts';
import { kernelOf, type Kernel, type KernelName } from './kernels.ts';

export interface MachineOptions {
  readonly kernel: KernelName;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** From the start of the machine on. */
  readonly limitMs?: number;
  readonly memoryMegabytes?: number;
  /** Made when it is not there: two runs with one disk are one machine that was rebooted. */
  readonly disk?: { readonly path: string; readonly sizeBytes: number };
  readonly onOutput?: (stream: 'stdout' | 'stderr', chunk: Buffer) => void;
  readonly onConsole?: (chunk: Buffer) => void;
}

export interface MachineResult {
  /** Of the command; null if it did not come to its end. */
  readonly status: number | null;
  /** Whether the limit ended the machine. */
  readonly isLate: boolean;
  readonly stdout: string;
  readonly stderr: string;
  /** What the kernel and QEMU said. */
  readonly console: string;
}

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const guest = join(import.meta.dirname, 'guest');

/** Ports of the machine, from this descriptor on; before them comes the initramfs. */
const firstPort = 4;
const ports = ['console', 'stdout', 'stderr', 'status'] as const;
type Port = (typeof ports)[number];
const initramfsDescriptor = 3;

/** Text for a shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function scriptOf({ argv, env = {}, cwd = process.cwd() }: MachineOptions): string {
  const nodeOptions = `--import=${pathToFileURL(join(guest, 'plain-sources.mjs')).href}`;
  const all = { NODE_OPTIONS: nodeOptions, ...env };
  const variables = Object.entries(all).map(([name, value]) => `export ${name}=${quoted(value)}\n`);
  return `${variables.join('')}cd ${quoted(cwd)} && exec ${argv.map(quoted).join(' ')}\n`;
}

/** The sources without their types, for guest/plain-sources.mjs. */
async function plainSources(): Promise<readonly (readonly [path: string, text: string])[]> {
  const argv = ['--disable-warning=ExperimentalWarning', 'test/vm/strip-types.ts'];
  const stripped = await runCommand([process.execPath, ...argv], { cwd: checkout });
  return Object.entries(JSON.parse(stripped) as Record<string, string>);
}

/** A file without a name that holds this. */
function namelessFile(content: Buffer): number {
  const directory = mkdtempSync(join(tmpdir(), 'varve-vm-'));
  try {
    const file = openSync(join(directory, 'file'), 'wx+');
    for (let done = 0; done < content.length;) done += writeSync(file, content, done);
    return file;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function makeDisk({ path, sizeBytes }: NonNullable<MachineOptions['disk']>): void {
  if (existsSync(path)) return;
  const file = openSync(path, 'wx');
  ftruncateSync(file, sizeBytes);
  closeSync(file);
  const { status, stderr } = spawnSync('mkfs.ext4', ['-q', '-F', path], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mkfs.ext4 ${path}: ${stderr}`);
}

function qemuArguments(kernel: Kernel, { memoryMegabytes = 2048, disk }: MachineOptions): string[] {
  const shared = 'security_model=none,readonly=on,multidevs=remap';
  const boot =
    'console=ttyS0 loglevel=4 panic=-1 clocksource=hpet tsc=unstable mitigations=off nokaslr audit=0';
  const portArguments = ports.flatMap((name, at) => {
    const chardev = ['-chardev', `socket,id=${name},fd=${firstPort + at}`];
    const device =
      name === 'console'
        ? ['-serial', 'chardev:console']
        : ['-device', `virtserialport,chardev=${name},name=${name}`];
    return [...chardev, ...device];
  });
  const path = disk?.path.replaceAll(',', ',,');
  return [
    // Each change of what protection keys allow, and V8 makes many, empties the emulated TLB.
    ...['-machine', 'q35,usb=off,sata=off,smbus=off,vmport=off', '-cpu', 'max,pku=off'],
    ...['-accel', 'tcg,thread=multi,tb-size=512'],
    ...['-m', String(memoryMegabytes), '-smp', '2', '-nodefaults', '-no-user-config'],
    ...['-display', 'none', '-no-reboot', '-nic', 'none'],
    ...['-kernel', kernel.imagePath, '-initrd', `/proc/self/fd/${initramfsDescriptor}`],
    ...['-append', boot, '-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...['-fsdev', `local,id=root,path=/,${shared}`],
    ...['-device', 'virtio-9p-pci,fsdev=root,mount_tag=root'],
    ...portArguments,
    // What it was told to keep outlives the machine without a sync: losing it is not the test.
    ...(path === undefined
      ? []
      : ['-drive', `file=${path},format=raw,if=none,id=disk,cache=unsafe,discard=unmap`]),
    ...(path === undefined ? [] : ['-device', 'virtio-blk-pci,drive=disk']),
  ];
}

/** How many bytes at the end may be the beginning of the mark. */
function markedBytes(bytes: Buffer, endMark: string): number {
  let count = Math.min(bytes.length, endMark.length - 1);
  while (bytes.toString('latin1', bytes.length - count) !== endMark.slice(0, count)) count -= 1;
  return count;
}

/** Reads a port up to the mark, or to the end of the machine. */
function readPort(
  stream: Readable,
  endMark: string,
  onChunk: (chunk: Buffer) => void,
): { readonly text: () => string; readonly ended: Promise<void> } {
  const chunks: Buffer[] = [];
  let held = Buffer.alloc(0);
  const give = (chunk: Buffer): void => {
    if (chunk.length === 0) return;
    chunks.push(chunk);
    onChunk(chunk);
  };
  const ended = new Promise<void>((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      const at = held.indexOf(endMark);
      const length = at === -1 ? held.length - markedBytes(held, endMark) : at;
      give(held.subarray(0, length));
      held = held.subarray(length);
      if (at !== -1) resolve();
    });
    stream.once('close', () => {
      if (held.indexOf(endMark) === -1) give(held);
      resolve();
    });
    stream.on('error', () => undefined);
  });
  return { text: () => Buffer.concat(chunks).toString(), ended };
}

/** The process of the machine, which ends with this one. */
function startQemu(argv: readonly string[], initramfs: Buffer): ChildProcess {
  const file = namelessFile(initramfs);
  try {
    return spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...argv], {
      stdio: ['ignore', 'pipe', 'pipe', file, ...ports.map(() => 'pipe' as const)],
    });
  } finally {
    closeSync(file);
  }
}

/** Boots a machine, runs the command, and ends the machine. */
export async function runInMachine(options: MachineOptions): Promise<MachineResult> {
  const kernel = await kernelOf(options.kernel);
  if (options.disk !== undefined) makeDisk(options.disk);
  const endMark = `end-${randomBytes(12).toString('hex')}`;
  const parameters = {
    kernel_version: kernel.version,
    module_directory: join(kernel.moduleRoot, 'lib/modules', kernel.version),
    main_script: join(guest, 'main.sh'),
    end_mark: endMark,
  };
  const lines = Object.entries(parameters).map(([name, value]) => `${name}=${quoted(value)}\n`);
  const texts = new Map([
    ['parameters', lines.join('')],
    ['script', scriptOf(options)],
    ...(await plainSources()).map(([path, text]) => [`sources/${path}`, text] as const),
  ]);
  const initramfs = await makeInitramfs(kernel, await staticBusybox(), texts);
  const qemu = startQemu(qemuArguments(kernel, options), initramfs);
  const exited = new Promise<void>((resolve, reject) => {
    qemu.once('error', reject);
    qemu.once('close', () => resolve());
  });
  const end = async (): Promise<void> => {
    qemu.kill('SIGKILL');
    await exited.catch(() => undefined);
  };
  const forget = onInterruption(end);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    qemu.kill('SIGKILL');
  }, options.limitMs ?? 600_000);
  try {
    const { onOutput = () => undefined, onConsole = () => undefined } = options;
    const portOf = (name: Port): Readable =>
      qemu.stdio[firstPort + ports.indexOf(name)] as Readable;
    const stdout = readPort(portOf('stdout'), endMark, (chunk) => onOutput('stdout', chunk));
    const stderr = readPort(portOf('stderr'), endMark, (chunk) => onOutput('stderr', chunk));
    const status = readPort(portOf('status'), '\n', () => undefined);
    const console = [portOf('console'), qemu.stdout!, qemu.stderr!].map((stream) =>
      readPort(stream, endMark, onConsole),
    );
    await Promise.race([exited, Promise.all([stdout.ended, stderr.ended, status.ended])]);
    await end();
    await Promise.all([stdout, stderr, status, ...console].map(({ ended }) => ended));
    const told = status.text();
    return {
      status: told === '' ? null : Number(told),
      isLate,
      stdout: stdout.text(),
      stderr: stderr.text(),
      console: console.map(({ text }) => text()).join(''),
    };
  } finally {
    clearTimeout(timer);
    forget();
    await end();
  }
}
