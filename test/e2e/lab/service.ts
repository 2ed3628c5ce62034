// Long-running processes of a test. Each is known by its child process, logs to a file, and ends
// at the latest when this process does. It is in a session of its own, see interruption.ts.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { guardSignals, isInterrupted } from './interruption.ts';
import { patience } from './patience.ts';

export interface ServiceOptions {
  readonly name: string;
  readonly argv: readonly string[];
  readonly logPath: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface ExitState {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** False if SIGKILL was needed. */
  readonly isOrderly: boolean;
}

export interface Service {
  readonly name: string;
  readonly pid: number;
  readonly logPath: string;
  readonly isRunning: () => boolean;
  /** SIGTERM, and SIGKILL when the limit has passed. */
  readonly stop: (limitMs?: number) => Promise<ExitState>;
  /** SIGKILL at once. */
  readonly kill: () => Promise<ExitState>;
}

const stopLimitMs = 15_000;
const pollMs = 25;
const logTailLines = 20;

const running = new Set<ChildProcess>();
let isGuarded = false;

/** Ends the services with this process, however it ends (but by SIGKILL). */
function guard(): void {
  if (isGuarded) return;
  isGuarded = true;
  process.once('exit', () => {
    for (const child of running) child.kill('SIGKILL');
  });
  guardSignals();
}

/** Starts a process; it may not be ready yet when this returns. */
export function startService({ name, argv, logPath, env }: ServiceOptions): Service {
  guard();
  if (isInterrupted()) throw new Error(`${name} is not started: all is being taken down`);
  mkdirSync(dirname(logPath), { recursive: true });
  const log = openSync(logPath, 'a');
  const [program = '', ...parameters] = argv;
  const child = spawn(program, parameters, {
    env: { ...process.env, ...env },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  running.add(child);
  let isOrderly = true;
  const exited = new Promise<ExitState>((resolve) => {
    const end = (code: number | null, signal: NodeJS.Signals | null): void => {
      running.delete(child);
      resolve({ code, signal, isOrderly });
    };
    child.once('error', () => {
      end(null, null);
    });
    child.once('exit', end);
  });
  const isRunning = (): boolean => running.has(child);
  const kill = (): Promise<ExitState> => {
    isOrderly = false;
    child.kill('SIGKILL');
    return exited;
  };
  const stop = async (limitMs = stopLimitMs): Promise<ExitState> => {
    if (!isRunning()) return exited;
    child.kill('SIGTERM');
    const timer = setTimeout(() => void kill(), limitMs * patience);
    try {
      return await exited;
    } finally {
      clearTimeout(timer);
    }
  };
  return { name, pid: child.pid ?? 0, logPath, isRunning, stop, kill };
}

/** The last lines of a service's log. */
export function logTail({ logPath }: Service): string {
  return readFileSync(logPath, 'utf8').trimEnd().split('\n').slice(-logTailLines).join('\n');
}

/** Waits until the probe succeeds; fails with the log when the service ends or the limit passes. */
export async function waitUntilReady(
  service: Service,
  probe: () => Promise<boolean>,
  limitMs = 30_000,
): Promise<void> {
  const end = Date.now() + limitMs * patience;
  while (!(await probe())) {
    if (!service.isRunning()) throw new Error(`${service.name} ended:\n${logTail(service)}`);
    if (Date.now() > end) {
      await service.kill();
      throw new Error(
        `${service.name} was not ready in ${limitMs * patience} ms:\n${logTail(service)}`,
      );
    }
    await delay(pollMs);
  }
}

/** Waits for a condition that no event tells of. */
export async function waitUntil(
  what: string,
  probe: () => Promise<boolean>,
  limitMs = 15_000,
): Promise<void> {
  const end = Date.now() + limitMs * patience;
  while (!(await probe())) {
    if (Date.now() > end) throw new Error(`after ${limitMs * patience} ms still not: ${what}`);
    await delay(pollMs);
  }
}
