// What a test run may not leave behind: mounts, loop devices, processes and files. Everything that
// the tests make lies below one scratch directory, and every process that they start carries the
// run's name in its environment, so nothing of anybody else is ever taken for a leftover.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';

/** The variable that names the run in the environment of everything that it starts. */
export const runVariable = 'VARVE_TEST_RUN';

export interface Leftovers {
  readonly mountPoints: readonly string[];
  readonly loopDevices: readonly string[];
  readonly processes: readonly { readonly pid: number; readonly command: string }[];
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

function processesOf(runName: string): { pid: number; command: string }[] {
  const mark = `${runVariable}=${runName}\0`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => `${readOrEmpty(`/proc/${name}/environ`)}\0`.includes(mark))
    .filter((name) => !/^State:\s+Z/m.test(readOrEmpty(`/proc/${name}/status`)))
    .map((name) => ({
      pid: Number(name),
      command: readOrEmpty(`/proc/${name}/cmdline`).replace(/\0/g, ' ').trim(),
    }));
}

/** Looks for everything that a run left behind. */
export function findLeftovers(scratch: string, runName: string): Leftovers {
  return {
    mountPoints: mountsBelow(scratch),
    loopDevices: loopDevicesOf(scratch),
    processes: processesOf(runName),
    files: existsSync(scratch) ? readdirSync(scratch).map((name) => `${scratch}/${name}`) : [],
  };
}

/** One line for each leftover. */
export function describeLeftovers(leftovers: Leftovers): string[] {
  return [
    ...leftovers.mountPoints.map((point) => `a mount: ${point}`),
    ...leftovers.loopDevices.map((device) => `a loop device: ${device}`),
    ...leftovers.processes.map(({ pid, command }) => `a process: ${pid} ${command}`),
    ...leftovers.files.map((path) => `a file: ${path}`),
  ];
}

/** Removes what was left behind, so that one failed run does not spoil the machine for the next. */
export function removeLeftovers(scratch: string, leftovers: Leftovers): void {
  for (const { pid } of leftovers.processes) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  const attempt = (program: string, argv: readonly string[]): void => {
    try {
      execFileSync(program, argv, { stdio: 'ignore', timeout: 10_000 });
    } catch {
      // Reported already; there is nothing more to be done about it here.
    }
  };
  for (const point of leftovers.mountPoints) attempt('umount', ['-l', point]);
  for (const device of leftovers.loopDevices) attempt('losetup', ['-d', device]);
  if (mountsBelow(scratch).length === 0) rmSync(scratch, { recursive: true, force: true });
}
