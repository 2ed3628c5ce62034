// What a supervisor notes of the services that it starts, in a file, for the one that comes after
// it when it has been killed. A process is known by its id and the moment of its start, since ids
// are used again; of another boot of the machine the file says nothing.
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Service } from './service-process.ts';

export interface ServiceRecord {
  /** The service's. */
  readonly name: string;
  readonly place: string;
  /** A digest of its settings. */
  readonly settings: string;
  readonly pid: number;
  /** When it was started, in clock ticks since the machine was. */
  readonly startTicks: number;
}

const formatVersion = 1;

const isRecord = (value: unknown): value is ServiceRecord => {
  const { name, place, settings, pid, startTicks } = value as Record<string, unknown>;
  return (
    [name, place, settings].every((one) => typeof one === 'string') &&
    [pid, startTicks].every((one) => Number.isSafeInteger(one) && Number(one) > 0)
  );
};

/** Names the settings of a service. */
export const digestOf = ({ settings }: Service): string =>
  createHash('sha256').update(settings).digest('hex');

/** When a process was started; undefined if it is not there. */
export function startTicksOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before may hold spaces and parentheses; the last one ends it.
    const ticks = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);
    return Number.isSafeInteger(ticks) ? ticks : undefined;
  } catch {
    return undefined;
  }
}

const thisBoot = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

export class Records {
  readonly #path: string;
  readonly #byName = new Map<string, ServiceRecord>();

  constructor(path: string) {
    this.#path = path;
  }

  /** What is noted of this boot; nothing of a file that is not whole. */
  read(): readonly ServiceRecord[] {
    try {
      const { version, boot, services } = JSON.parse(readFileSync(this.#path, 'utf8')) as {
        readonly version?: unknown;
        readonly boot?: unknown;
        readonly services?: unknown;
      };
      if (version !== formatVersion || boot !== thisBoot() || !Array.isArray(services)) return [];
      return services.every(isRecord) ? services : [];
    } catch {
      return [];
    }
  }

  /** Goes on with these records of an earlier supervisor. */
  takeOver(records: readonly ServiceRecord[]): void {
    for (const record of records) this.#byName.set(record.name, record);
  }

  /** Notes a service that was started. Throws where the file cannot be written. */
  note(service: Service, pid: number): void {
    const startTicks = startTicksOf(pid);
    // It has ended already.
    if (startTicks === undefined) return;
    const { name, place } = service;
    this.#byName.set(name, { name, place, settings: digestOf(service), pid, startTicks });
    this.#write();
  }

  #write(): void {
    const services = [...this.#byName.values()];
    const written = `${this.#path}.new`;
    const text = JSON.stringify({ version: formatVersion, boot: thisBoot(), services });
    writeFileSync(written, `${text}\n`, { mode: 0o600 });
    renameSync(written, this.#path);
  }

  /** Nothing is left to take over. */
  remove(): void {
    rmSync(this.#path, { force: true });
  }
}
