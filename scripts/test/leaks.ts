// What a test run may not leave behind: mounts, loop devices, processes, control groups and files.
// Everything that the tests make lies below one scratch directory. Every process that they start
// carries the run's name in its environment, but for containers, whose root lies in the scratch
// directory, and varve's helpers. Control groups begin with the run's name. So nothing of anybody
// else is ever taken for a leftover.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cgroupsNamed, removeCgroup } from './cgroups.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));

/** The variable that names the run in the environment of everything that it starts. */
export const runVariable = 'VARVE_TEST_RUN';

export interface Leftovers {
  readonly mountPoints: readonly string[];
  readonly loopDevices: readonly string[];
  readonly processes: readonly { readonly pid: number; readonly command: string }[];
  readonly cgroups: readonly string[];
  /** Of these processes, and not below the scratch directory. */
  readonly sockets: readonly string[];
  readonly files: readonly string[];
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Mount points below the scratch directory, innermost first. */
function mountsBelow(scratch: string): string[] {
  return readOrEmpty('/proc/self/mountinfo')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replace(/\\040/g, ' '))
    .filter((point) => point.startsWith(`${scratch}/`))
    .reverse();
}

function loopDevicesOf(scratch: string): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => readOrEmpty(`/sys/block/${name}/loop/backing_file`).startsWith(`${scratch}/`))
    .map((name) => `/dev/${name}`);
}

/** Whether the root of a process lies in the scratch directory, as a container's does. */
function isContainerOf(scratch: string, pid: string): boolean {
  const lines = readOrEmpty(`/proc/${pid}/mountinfo`).split('\n');
  const root = lines.find((line) => line.split(' ')[4] === '/') ?? '';
  return root.includes(`${scratch}/`);
}

/** Fields of /proc/<pid>/stat after the name, which may hold anything. */
function statOf(pid: string | number): string[] {
  const text = readOrEmpty(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/**
 * Whether a process is a helper whose service has ended: it has no environment, but its program is
 * this checkout's, it began after this process, and nobody is left who would know it.
 */
function isAbandonedHelper(pid: string): boolean {
  const program = linkOf(`/proc/${pid}/exe`);
  if (!program.startsWith(checkout) || !program.endsWith('/varve-helper')) return false;
  const [, parent] = statOf(pid);
  return parent === '1' && Number(statOf(pid)[19]) >= Number(statOf('self')[19]);
}

function processesOf(scratch: string, runName: string): { pid: number; command: string }[] {
  const mark = `${runVariable}=${runName}\0`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(
      (name) =>
        `${readOrEmpty(`/proc/${name}/environ`)}\0`.includes(mark) ||
        isContainerOf(scratch, name) ||
        isAbandonedHelper(name),
    )
    .filter((name) => !/^State:\s+Z/m.test(readOrEmpty(`/proc/${name}/status`)))
    .map((name) => ({
      pid: Number(name),
      command: readOrEmpty(`/proc/${name}/cmdline`).replace(/\0/g, ' ').trim(),
    }));
}

/** The sockets that a process listens on, by their paths. */
function socketsOf(pid: number): string[] {
  const paths = new Map(
    readOrEmpty('/proc/net/unix')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .flatMap((fields) =>
        fields[7]?.startsWith('/') ? [[`socket:[${fields[6]}]`, fields[7]]] : [],
      ),
  );
  const directory = `/proc/${pid}/fd`;
  if (!existsSync(directory)) return [];
  const opened = readdirSync(directory).map((name) => linkOf(`${directory}/${name}`));
  return opened.flatMap((target) => paths.get(target) ?? []);
}

/** Looks for everything that a run left behind. */
export function findLeftovers(scratch: string, runName: string): Leftovers {
  const processes = processesOf(scratch, runName);
  const sockets = new Set(processes.flatMap(({ pid }) => socketsOf(pid)));
  return {
    mountPoints: mountsBelow(scratch),
    loopDevices: loopDevicesOf(scratch),
    processes,
    sockets: [...sockets].filter((path) => !path.startsWith(`${scratch}/`)),
    cgroups: cgroupsNamed(new RegExp(`^varve-${runName}$`)),
    files: existsSync(scratch) ? readdirSync(scratch).map((name) => `${scratch}/${name}`) : [],
  };
}

/** One line for each leftover. */
export function describeLeftovers(leftovers: Leftovers): string[] {
  return [
    ...leftovers.mountPoints.map((point) => `a mount: ${point}`),
    ...leftovers.loopDevices.map((device) => `a loop device: ${device}`),
    ...leftovers.processes.map(({ pid, command }) => `a process: ${pid} ${command}`),
    ...leftovers.sockets.map((path) => `a socket: ${path}`),
    ...leftovers.cgroups.map((path) => `a control group: ${path}`),
    ...leftovers.files.map((path) => `a file: ${path}`),
  ];
}

const isThere = ({ pid }: { readonly pid: number }): boolean =>
  !/^State:\s+Z/m.test(readOrEmpty(`/proc/${pid}/status`)) && existsSync(`/proc/${pid}`);

/** What is killed takes a moment to be gone, and holds mounts and control groups until then. */
const pauseMs = (milliseconds: number): void =>
  void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);

/** Removes what was left behind, so that one failed run does not spoil the machine for the next. */
export function removeLeftovers(scratch: string, leftovers: Leftovers): void {
  for (const { pid } of leftovers.processes) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  for (let tries = 0; tries < 100 && leftovers.processes.some(isThere); tries += 1) pauseMs(20);
  const attempt = (program: string, argv: readonly string[]): void => {
    try {
      execFileSync(program, argv, { stdio: 'ignore', timeout: 10_000 });
    } catch {
      // Reported already; there is nothing more to be done about it here.
    }
  };
  for (const point of leftovers.mountPoints) attempt('umount', ['-l', point]);
  for (const device of leftovers.loopDevices) attempt('losetup', ['-d', device]);
  for (const path of leftovers.sockets) rmSync(path, { force: true });
  for (const path of leftovers.cgroups) removeCgroup(path);
  if (mountsBelow(scratch).length === 0) rmSync(scratch, { recursive: true, force: true });
}
