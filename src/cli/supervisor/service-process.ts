// A service as a process: known to be ready, ended in order, whoever started it.
import { setTimeout as delay } from 'node:timers/promises';
import { findListener } from './listener.ts';

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
  /** Whether one that runs by other settings can be started anew without taking anything away. */
  readonly isReplaceable: () => Promise<boolean>;
  /** By which it is told to end with all that it serves; SIGTERM leaves that to the next one. */
  readonly endSignal: 'SIGTERM' | 'SIGINT';
  /** What its end means for containers, in words. */
  readonly endMeans: string;
}

export interface End {
  readonly exitCode: number | null;
  /** How it ended, in words: `ended with status 1`. */
  readonly text: string;
}

const pollMs = 50;
/** Each of the services ends within five seconds by itself. */
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

  /** Leaves it alone: it goes on, and nobody here is told of its end. */
  abstract letGo(): void;

  protected abstract signal(signal: NodeJS.Signals): void;

  /** Waits until it answers; false if it ended before. */
  async isReady(): Promise<boolean> {
    const ended = this.ended.then(() => true);
    for (;;) {
      if (await Promise.race([ended, delay(pollMs, false)])) return false;
      if (findListener(this.service.address) !== undefined) return true;
    }
  }

  /** Tells it to end for good, and waits until it has. Answers whether it did so by itself. */
  stop(): Promise<boolean> {
    return this.#end(this.service.endSignal);
  }

  /** The same before another one takes its place. */
  makeRoom(): Promise<boolean> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<boolean> {
    this.signal(signal);
    const deadline = new AbortController();
    const late = delay(stopDeadlineMs, true, { signal: deadline.signal }).catch(() => false);
    const isLate = await Promise.race([this.ended.then(() => false), late]);
    deadline.abort();
    if (isLate) this.signal('SIGKILL');
    await this.ended;
    return !isLate;
  }
}
