// Runs one command of a suite: its output goes to a file, it is ended with all its children at its
// deadline, and whoever watches sees nothing of it unless it fails.
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface Command {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutSeconds: number;
  readonly logPath: string;
}

export interface CommandResult {
  /** 0 for success; 124 when the deadline passed. */
  readonly status: number;
  readonly output: string;
}

/** How long a command may take to end after it was asked to, before it is killed. */
const graceMs = 30_000;

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended meanwhile.
  }
}

async function endGroup(pid: number): Promise<void> {
  const endsAt = Date.now() + graceMs;
  while (isGroupAlive(pid) && Date.now() < endsAt) await delay(50);
  signalGroup(pid, 'SIGKILL');
}

function isGroupAlive(pid: number): boolean {
  try {
    process.kill(-pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The process groups that are running now, to be ended when the runner itself is interrupted. */
const running = new Set<number>();

let isEnding = false;

/** Ends every command that is running. */
export function endAll(): void {
  isEnding = true;
  for (const pid of running) signalGroup(pid, 'SIGTERM');
}

/** Runs a command in a process group of its own and waits for its end. */
export async function run(command: Command): Promise<CommandResult> {
  mkdirSync(dirname(command.logPath), { recursive: true });
  const log = openSync(command.logPath, 'w');
  const [program = '', ...rest] = command.argv;
  const child = spawn(program, rest, {
    cwd: command.cwd,
    env: { ...process.env, ...command.env },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  const { pid } = child;
  const deadline = { passed: false };
  const timers: NodeJS.Timeout[] = [];
  if (pid !== undefined) {
    running.add(pid);
    timers.push(
      setTimeout(() => {
        deadline.passed = true;
        signalGroup(pid, 'SIGTERM');
        timers.push(setTimeout(() => signalGroup(pid, 'SIGKILL'), graceMs));
      }, command.timeoutSeconds * 1000),
    );
  }
  const status = await new Promise<number>((resolve) => {
    child.once('error', () => resolve(127));
    child.once('exit', (code) => resolve(code ?? 1));
  });
  for (const timer of timers) clearTimeout(timer);
  if (pid !== undefined) {
    running.delete(pid);
    // What a command that was cut short had started gets the same time to end.
    if (deadline.passed || isEnding) await endGroup(pid);
  }
  const output = readFileSync(command.logPath, 'utf8');
  return deadline.passed
    ? { status: 124, output: `${output}\nended: longer than ${command.timeoutSeconds} s\n` }
    : { status, output: status === 127 ? `${output}\ncannot run ${program}\n` : output };
}
