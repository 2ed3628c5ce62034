// Keeps services running: starts them in order, starts again what dies, and ends them in reverse.
import { setTimeout as delay } from 'node:timers/promises';
import { Child, isAnswered, type End, type Service } from './child.ts';

const pauseMinMs = 200;
const pauseMaxMs = 10_000;
/** What has run so long has recovered: its next death is not one more of a series. */
const stableMs = 60_000;

/** The pause before a service is started again that died so many times in a row. */
export function pauseBefore(deathCount: number): number {
  return Math.min(pauseMaxMs, pauseMinMs * 2 ** Math.min(deathCount - 1, 30));
}

/** A service that did not become ready when it was started first. */
export interface StartFailure {
  readonly message: string;
  readonly exitCode: number | null;
}

export class Supervisor {
  readonly #services: readonly Service[];
  readonly #say: (line: string) => void;
  readonly #children = new Map<Service, Child>();
  readonly #stop = new AbortController();
  #keeping: readonly Promise<void>[] = [];

  /** Services in the order in which they are started; `say` gets one line for each thing done. */
  constructor(services: readonly Service[], say: (line: string) => void) {
    this.#services = services;
    this.#say = say;
  }

  /** The processes that are waited for here. */
  get pids(): ReadonlySet<number> {
    return new Set([...this.#children.values()].flatMap(({ pid }) => pid ?? []));
  }

  /** Starts all; a failure if one of them cannot run at all, with which the others have ended. */
  async start(): Promise<StartFailure | undefined> {
    for (const service of this.#services) {
      if (this.#stop.signal.aborted) return undefined;
      const failure = await this.#startFirst(service);
      if (failure === undefined) continue;
      await this.stop();
      return failure;
    }
    return undefined;
  }

  async #startFirst(service: Service): Promise<StartFailure | undefined> {
    const { name, address } = service;
    // Its answers would be taken for those of the one that is about to be started.
    if (await isAnswered(address)) {
      const message = `${address} is in use: ${name} runs already, or another one does`;
      return { message, exitCode: null };
    }
    const child = this.#begin(service);
    if (await child.isReady()) {
      this.#keeping = [...this.#keeping, this.#keep(service, child)];
      return undefined;
    }
    const end = await child.ended;
    if (this.#stop.signal.aborted) return undefined;
    return { message: `${name} cannot run: it ${end.text}`, exitCode: end.exitCode };
  }

  #begin(service: Service): Child {
    const child = new Child(service);
    this.#children.set(service, child);
    return child;
  }

  async #keep(service: Service, first: Child): Promise<void> {
    const { signal } = this.#stop;
    const isStopping = (): boolean => signal.aborted;
    let child = first;
    for (let deathCount = 1; ; deathCount += 1) {
      const end = await child.ended;
      if (isStopping()) return;
      if (Date.now() - child.startedMs > stableMs) deathCount = 1;
      const pauseMs = pauseBefore(deathCount);
      this.#say(`${this.#death(service, end)}: it is started again in ${pauseMs} ms`);
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      if (isStopping()) return;
      child = this.#begin(service);
    }
  }

  #death({ name }: Service, { text }: End): string {
    return `${name} ${text}`;
  }

  /** Ends all, the last one that was started first. Answers whether all ended by themselves. */
  async stop(): Promise<boolean> {
    this.#stop.abort();
    let isOrderly = true;
    for (const service of [...this.#services].reverse()) {
      const child = this.#children.get(service);
      if (child === undefined || (await child.stop())) continue;
      this.#say(`${service.name} did not end in time and was killed`);
      isOrderly = false;
    }
    await Promise.all(this.#keeping);
    return isOrderly;
  }
}
