// A service as a process: known to be ready, ended in order, whoever started it.
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What a process is started from. */
export interface Service {
  /** For messages. */
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The unix socket on which it answers when it is ready. */
  readonly address: string;
  /** What it serves and where, in words. */
  readonly place: string;
  /** The option by which it gets another place. */
  readonly placeOption: string;
  /** Everything by which it runs; one that runs by something else is not what is asked for. */
  readonly settings: string;
  /** Whether one that runs by other settings goes on: its end would take too much away. */
  readonly outlivesSettings: boolean;
  /** What its end means for containers, in words. */
  readonly endMeans: string;
}

export interface End {
  readonly exitCode: number | null;
  /** How it ended, in words: `ended with status 1`. */
  readonly text: string;
}

const pollMs = 50;
/** Both services end within five seconds by themselves. */
const stopDeadlineMs = 10_000;

export abstract class ServiceProcess {
  abstract readonly pid: number | undefined;
  abstract readonly startedMs: number;
  /** Fulfilled when it has ended, or could not be started. */
  abstract readonly ended: Promise<End>;
  readonly service: Service;

  constructor(service: Service) {
    this.service = service;
  }

  protected abstract signal(signal: NodeJS.Signals): void;

  /** Waits until it answers; false if it ended before. */
  async isReady(): Promise<boolean> {
    const ended = this.ended.then(() => true);
    for (;;) {
      if (await Promise.race([ended, delay(pollMs, false)])) return false;
      if (await isAnswered(this.service.address)) return true;
    }
  }

  /** Tells it to end, and waits until it has. Answers whether it did so by itself. */
  async stop(): Promise<boolean> {
    this.signal('SIGTERM');
    const deadline = new AbortController();
    const late = delay(stopDeadlineMs, true, { signal: deadline.signal }).catch(() => false);
    const isLate = await Promise.race([this.ended.then(() => false), late]);
    deadline.abort();
    if (isLate) this.signal('SIGKILL');
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
