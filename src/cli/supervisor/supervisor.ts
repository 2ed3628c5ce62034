// Keeps services running: starts them in order or takes over those of an earlier supervisor, starts
// again what dies, and ends them in reverse.
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from './child.ts';
import { EarlierProcess } from './earlier.ts';
import { findListener, type Listener } from './listener.ts';
import type { Records } from './records.ts';
import type { Service, ServiceProcess } from './service-process.ts';

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

const failure = (message: string): StartFailure => ({ message, exitCode: null });

export interface SupervisorOptions {
  /** In the order in which they are started. */
  readonly services: readonly Service[];
  readonly records: Records;
  /** Gets one line for each thing done. */
  readonly say: (line: string) => void;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #running = new Map<Service, ServiceProcess>();
  readonly #ranBefore = new Set<Service>();
  readonly #stop = new AbortController();
  #keeping: readonly Promise<void>[] = [];

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** The processes that are waited for here. */
  get pids(): ReadonlySet<number> {
    return new Set([...this.#running.values()].flatMap(({ pid }) => pid ?? []));
  }

  /** Whether a service runs that was not started here. */
  isTakenOver(service: Service): boolean {
    return this.#running.get(service) instanceof EarlierProcess;
  }

  /**
   * Starts all; a failure if one of them cannot run at all. Then those that ran before go on, also
   * one that was started anew, and the others have ended.
   */
  async start(): Promise<StartFailure | undefined> {
    let failed = this.#findEarlier();
    for (const service of this.#options.services) {
      if (failed !== undefined || this.#isStopping()) break;
      failed = await this.#startFirst(service);
    }
    if (failed === undefined) return undefined;
    for (const [service, running] of this.#running) {
      if (!this.#ranBefore.has(service)) continue;
      running.letGo();
      this.#running.delete(service);
    }
    await this.#stopAll();
    return failed;
  }

  /** Looks for what an earlier supervisor left; a failure if it is for another place. */
  #findEarlier(): StartFailure | undefined {
    const { services, records } = this.#options;
    const known = records.read();
    const earlier = services.flatMap((service) => {
      const record = known.find(({ name }) => name === service.name);
      return record === undefined ? [] : (EarlierProcess.find(service, record) ?? []);
    });
    for (const one of earlier) {
      this.#running.set(one.service, one);
      this.#ranBefore.add(one.service);
    }
    const moved = earlier.find(({ isInPlace }) => !isInPlace);
    if (moved !== undefined) return failure(movedText(moved));
    records.takeOver(earlier.map(({ record }) => record));
    return undefined;
  }

  async #startFirst(service: Service): Promise<StartFailure | undefined> {
    const { name, address } = service;
    const earlier = this.#running.get(service);
    const listener = findListener(address);
    // Its answers would be taken for those of the one that is about to be started.
    const isForeign = earlier === undefined || (listener?.pid ?? earlier.pid) !== earlier.pid;
    if (listener !== undefined && isForeign) return failure(inUseText(service, listener));
    if (earlier instanceof EarlierProcess && (await this.#takeOver(earlier))) return undefined;
    if (this.#isStopping()) return undefined;
    const child = this.#begin(service);
    if (await child.isReady()) {
      this.#keeping = [...this.#keeping, this.#keep(child)];
      return undefined;
    }
    const end = await child.ended;
    if (this.#isStopping()) return undefined;
    return { message: `${name} cannot run: it ${end.text}`, exitCode: end.exitCode };
  }

  /** Goes on with a service that runs; false if it has to be started. */
  async #takeOver(earlier: EarlierProcess): Promise<boolean> {
    const { say } = this.#options;
    const { service, pid, hasSettings } = earlier;
    const what = `${service.name} (process ${pid}), which an earlier varve up left`;
    if (!hasSettings && (await service.isReplaceable())) {
      say(`${what}, runs by other settings: it is started again`);
      await earlier.makeRoom();
      return false;
    }
    if (!(await earlier.isReady())) return false;
    const how = hasSettings
      ? ''
      : ' as it runs; the settings of now count when it is started again';
    say(`${what}, is taken over${how}`);
    this.#keeping = [...this.#keeping, this.#keep(earlier)];
    return true;
  }

  #begin(service: Service): Child {
    const child = new Child(service);
    this.#running.set(service, child);
    try {
      if (child.pid !== undefined) this.#options.records.note(service, child.pid);
    } catch (error) {
      const reason = (error as Error).message;
      this.#options.say(`no later varve up can take over ${service.name}, if need be: ${reason}`);
    }
    return child;
  }

  async #keep(first: ServiceProcess): Promise<void> {
    const { signal } = this.#stop;
    const { service } = first;
    const stopping = once(signal, 'abort');
    let running = first;
    for (let deathCount = 1; ; deathCount += 1) {
      await Promise.race([running.ended, stopping]);
      if (this.#isStopping()) return;
      const { text } = await running.ended;
      if (Date.now() - running.startedMs > stableMs) deathCount = 1;
      const pauseMs = pauseBefore(deathCount);
      this.#options.say(`${service.name} ${text}: it is started again in ${pauseMs} ms`);
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      if (this.#isStopping()) return;
      running = this.#begin(service);
    }
  }

  #isStopping(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Ends all, the last one that was started first. Answers whether all ended by themselves. */
  async stop(): Promise<boolean> {
    const isOrderly = await this.#stopAll();
    this.#options.records.remove();
    return isOrderly;
  }

  async #stopAll(): Promise<boolean> {
    this.#stop.abort();
    let isOrderly = true;
    for (const service of [...this.#options.services].reverse()) {
      const running = this.#running.get(service);
      if (running === undefined || (await running.stop())) continue;
      this.#options.say(`${service.name} did not end in time and was killed`);
      isOrderly = false;
    }
    await Promise.all(this.#keeping);
    return isOrderly;
  }
}

function movedText({ service, record }: EarlierProcess): string {
  const { name, place, endMeans } = service;
  return (
    `${name} (process ${record.pid}), which an earlier varve up left, is there for ` +
    `${record.place}, and now it is to be for ${place}: run varve up as before, or end that ` +
    `process first (${endMeans})`
  );
}

function inUseText({ address, placeOption, endMeans }: Service, { text }: Listener): string {
  return (
    `${address} is in use by ${text}, which is none that an earlier varve up left here: end it ` +
    `first (${endMeans}), or choose another socket (${placeOption})`
  );
}
