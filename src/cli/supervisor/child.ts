// A service as a child process: started, known to be ready, ended in order.
import { spawn, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What a child is started from. */
export interface Service {
  /** For messages. */
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The unix socket on which it answers when it is ready. */
  readonly address: string;
}

export interface End {
  readonly exitCode: number | null;
  /** How it ended, in words: `ended with status 1`. */
  readonly text: string;
}

const pollMs = 50;
/** Both services end within five seconds by themselves. */
const stopDeadlineMs = 10_000;

export class Child {
  readonly #process: ChildProcess;
  readonly #service: Service;
  readonly startedMs = Date.now();
  /** Fulfilled when it has ended, or could not be started. */
  readonly ended: Promise<End>;
  #isRunning = true;

  constructor(service: Service) {
    this.#service = service;
    const [program, ...parameters] = service.argv;
    this.#process = spawn(program, parameters, {
      env: service.environment,
      stdio: ['ignore', 'inherit', 'inherit'],
      // Ctrl-C goes to all processes of the terminal: here the order of their ends matters.
      detached: true,
    });
    this.ended = this.#end();
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  async #end(): Promise<End> {
    const end = await new Promise<End>((resolve) => {
      this.#process.once('error', (error) => {
        resolve({ exitCode: null, text: `could not be started (${error.message})` });
      });
      this.#process.once('exit', (exitCode, signal) => {
        const how = exitCode === null ? `was ended by ${signal ?? ''}` : `ended with ${exitCode}`;
        resolve({ exitCode, text: how });
      });
    });
    this.#isRunning = false;
    return end;
  }

  /** Waits until it answers; false if it ended before. */
  async isReady(): Promise<boolean> {
    while (this.#isRunning) {
      if (await isAnswered(this.#service.address)) return true;
      await Promise.race([this.ended, delay(pollMs)]);
    }
    return false;
  }

  /** Tells it to end, and waits until it has. Answers whether it did so by itself. */
  async stop(): Promise<boolean> {
    this.#process.kill('SIGTERM');
    const deadline = new AbortController();
    const late = delay(stopDeadlineMs, true, { signal: deadline.signal }).catch(() => false);
    const isLate = await Promise.race([this.ended.then(() => false), late]);
    deadline.abort();
    if (isLate) this.#process.kill('SIGKILL');
    await this.ended;
    return !isLate;
  }
}

/** Whether somebody accepts connections on a unix socket. */
export function isAnswered(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    const end = (isConnected: boolean): void => {
      socket.destroy();
      resolve(isConnected);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
