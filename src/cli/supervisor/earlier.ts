// A service that an earlier supervisor started, which was killed. It is no child of this process,
// so the kernel is asked now and then whether it has ended, and how it did is not known.
import { setTimeout as delay } from 'node:timers/promises';
import {
  closeDescriptor,
  hasEnded,
  openProcess,
  signalProcess,
} from '../../adapters/native/processes.ts';
import { digestOf, startTicksOf, type ServiceRecord } from './records.ts';
import { ServiceProcess, type End, type Service } from './service-process.ts';

const pollMs = 100;

/** A descriptor of the process that a record speaks of; undefined if it has ended. */
function descriptorOf({ pid, startTicks }: ServiceRecord): number | undefined {
  const opened = openProcess(pid);
  if (!opened.ok) return undefined;
  // Looked at once it is held: from now on the id cannot become that of another one unnoticed.
  const isIt = startTicksOf(pid) === startTicks;
  const ended = hasEnded(opened.value);
  if (isIt && ended.ok && !ended.value) return opened.value;
  closeDescriptor(opened.value);
  return undefined;
}

export class EarlierProcess extends ServiceProcess {
  readonly record: ServiceRecord;
  readonly #descriptor: number;
  readonly #looking = new AbortController();
  readonly startedMs = 0;
  readonly ended: Promise<End>;

  private constructor(service: Service, record: ServiceRecord, descriptor: number) {
    super(service);
    this.record = record;
    this.#descriptor = descriptor;
    this.ended = this.#end();
  }

  /** The process that a record of the service speaks of, if it is still there. */
  static find(service: Service, record: ServiceRecord): EarlierProcess | undefined {
    const descriptor = descriptorOf(record);
    return descriptor === undefined ? undefined : new EarlierProcess(service, record, descriptor);
  }

  get pid(): number {
    return this.record.pid;
  }

  /** Whether it is for the place that the service has now. */
  get isInPlace(): boolean {
    return this.record.place === this.service.place;
  }

  /** Whether it runs by the settings that the service has now. */
  get hasSettings(): boolean {
    return this.record.settings === digestOf(this.service);
  }

  letGo(): void {
    this.#looking.abort();
    closeDescriptor(this.#descriptor);
  }

  async #end(): Promise<End> {
    const { signal } = this.#looking;
    for (;;) {
      const ended = hasEnded(this.#descriptor);
      if (!ended.ok || ended.value) return { exitCode: null, text: 'ended' };
      await delay(pollMs, undefined, { signal }).catch(() => new Promise(() => undefined));
    }
  }

  protected signal(signal: NodeJS.Signals): void {
    signalProcess(this.#descriptor, signal);
  }
}
