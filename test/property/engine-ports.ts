// The outside world of the engine under the test's control: nothing ends before the test says so,
// and a crash leaves what was under way done, half done or not begun. `Disk` outlives a crash, a
// `Life` does not. What an effect must be justified by is checked at the moment it begins.
import { memoryBlockDevices, plainLayers } from '../../src/adapters/memory/block-devices.ts';
import assert from 'node:assert/strict';
import { compactionIntervalMs } from '../../src/engine/limits.ts';
import { LogFailure } from '../../src/engine/ports.ts';
import { MemoryEventStore } from '../../src/adapters/memory/event-store.ts';
import { failure, policy } from '../machines/given.ts';
import { LogModel } from './log-model.ts';
import type { EngineOptions } from '../../src/engine/start.ts';
import type {
  Clock,
  EffectResult,
  EventStore,
  SnapshotDirectories,
} from '../../src/engine/ports.ts';
import type { RecordedEvent } from '../../src/machines/kernel/envelope.ts';

/** What survives a crash: the log, directories. */
export class Disk {
  /** Every event that was ever durable, also those that were compacted away since. */
  readonly events: RecordedEvent[] = [];
  /** What the log still holds, and its checkpoints. */
  readonly log = new MemoryEventStore();
  readonly directories = new Map<number, 'whole' | 'half'>();
  readonly created = new Set<number>();
  /** Directories whose deletion failed and was not repeated yet. */
  readonly undeleted = new Set<number>();
  /** Folded from durable events alone: what may be told and acted upon. */
  readonly model = new LogModel();

  persist(events: readonly RecordedEvent[]): void {
    void this.log.append(events);
    for (const event of events) {
      this.events.push(event);
      this.model.apply(event);
    }
  }
}

interface Pending {
  readonly name: string;
  readonly end: (succeeds: boolean) => void;
  /** What a crash now may leave behind. */
  readonly land: () => void;
}

/** One run of the program, from start to crash. */
export class Life {
  readonly disk: Disk;
  readonly pending: Pending[] = [];
  timers: { readonly delayMs: number; readonly callback: () => void }[] = [];
  hasFailed = false;
  /** The first effect that nothing durable justified. */
  violation: Error | undefined;
  #isOver = false;

  constructor(disk: Disk) {
    this.disk = disk;
  }

  /** Checks what must hold when an effect begins; the engine itself goes on. */
  justify(condition: boolean, message: string): void {
    if (!condition && !this.#isOver) this.violation ??= new assert.AssertionError({ message });
  }

  /** Ends the first pending operation of this name. */
  end(name: string, succeeds = true): void {
    const index = this.pending.findIndex((pending) => pending.name === name);
    assert.ok(index >= 0, `${name} is under way`);
    this.complete(index, () => succeeds);
  }

  /** Ends one pending operation; answers its name. */
  complete(pick: number, succeeds: (name: string) => boolean): string | undefined {
    const [pending] = this.pending.splice(pick % Math.max(1, this.pending.length), 1);
    pending?.end(succeeds(pending.name));
    return pending?.name;
  }

  /** Everything stops; of what was under way, that lands for which `lands` says so. */
  crash(lands: (index: number) => boolean): void {
    this.#isOver = true;
    this.pending.forEach((pending, index) => {
      if (lands(index)) pending.land();
    });
    this.pending.length = 0;
    this.timers = [];
  }

  /** Lets every delay but that of retention pass; answers how many there were. */
  fireTimers(): number {
    return this.#fire(({ delayMs }) => delayMs < compactionIntervalMs);
  }

  /** Lets the time come at which retention is looked at. */
  fireRetention(): void {
    this.#fire(({ delayMs }) => delayMs === compactionIntervalMs);
  }

  #fire(isDue: (timer: { readonly delayMs: number }) => boolean): number {
    const due = this.timers.filter(isDue);
    this.timers = this.timers.filter((timer) => !due.includes(timer));
    for (const { callback } of due) callback();
    return due.length;
  }

  wait<Value>(name: string, answers: { done: () => Value; failed: () => Value }): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.pending.push({
        name,
        land: answers.done,
        end: (succeeds) => {
          if (this.#isOver) return;
          try {
            resolve(succeeds ? answers.done() : answers.failed());
          } catch (error) {
            reject(error);
          }
        },
      });
    });
  }
}

const failed: EffectResult<never> = { ok: false, failure };
const ok = <Value>(value: Value): EffectResult<Value> => ({ ok: true, value });

function storeOf(life: Life): EventStore {
  const { disk } = life;
  let isClosed = false;
  return {
    get lastSeq() {
      return disk.log.lastSeq;
    },
    get firstSeq() {
      return disk.log.firstSeq;
    },
    lost: [],
    get foldableFromSeq() {
      return disk.log.foldableFromSeq;
    },
    append(events) {
      life.justify(!isClosed, 'nothing is appended to a log that is closed');
      return life.wait('append', {
        done: () => disk.persist(events),
        failed: () => {
          throw new LogFailure('the disk is gone');
        },
      });
    },
    read: (options) => disk.log.read(options),
    async writeCheckpoint(checkpoint) {
      life.justify(
        checkpoint.globalSeq <= disk.events.length,
        'I4: a checkpoint is behind the log',
      );
      await disk.log.writeCheckpoint(checkpoint);
    },
    readCheckpoint: (atSeq) => disk.log.readCheckpoint(atSeq),
    async compact(checkpoint, liveStreams) {
      life.justify(!isClosed, 'nothing is dropped from a log that is closed');
      life.justify(
        disk.model.unresolvedSeqs().every((seq) => seq > checkpoint.globalSeq),
        'work that is not resolved is never dropped',
      );
      const done = (): Promise<number> => disk.log.compact(checkpoint, liveStreams);
      return await life.wait('compact', { done, failed: done });
    },
    historyDamage: [],
    async *scrub() {},
    async close() {
      isClosed = true;
    },
  };
}

function directoriesOf(life: Life): SnapshotDirectories {
  const { disk } = life;
  const { directories, model } = disk;
  return {
    path: '/snapshots',
    create({ snapshotId }) {
      life.justify(!disk.created.has(snapshotId), `I11: id ${snapshotId} is handed out twice`);
      life.justify(snapshotId <= model.reservedUpTo, `I3: id ${snapshotId} is durably reserved`);
      disk.created.add(snapshotId);
      directories.set(snapshotId, 'half');
      const done = (): EffectResult<void> => {
        directories.set(snapshotId, 'whole');
        return ok(undefined);
      };
      return life.wait('create', { done, failed: () => failed });
    },
    usage(snapshotId) {
      return life.wait('usage', {
        done: () => ok({ sizeBytes: snapshotId * 4096, inodeCount: snapshotId }),
        failed: () => failed,
      });
    },
    // Like measuring, this changes nothing, so it may begin before the commit is durable.
    sync() {
      return life.wait('sync', { done: () => ok(undefined), failed: () => failed });
    },
    remove(snapshotId) {
      const kind = model.entries.get(snapshotId)?.kind ?? 'gone';
      life.justify(
        kind === 'gone' || kind === 'removing',
        `I3: the removal of ${snapshotId} is durable before its effect (it is ${kind})`,
      );
      if (directories.has(snapshotId)) directories.set(snapshotId, 'half');
      const done = (): EffectResult<void> => {
        directories.delete(snapshotId);
        disk.undeleted.delete(snapshotId);
        return ok(undefined);
      };
      const refused = (): EffectResult<void> => {
        disk.undeleted.add(snapshotId);
        return failed;
      };
      return life.wait('remove', { done, failed: refused });
    },
    list: async () => ({ snapshotIds: [...directories.keys()], foreign: [] }),
  };
}

function clockOf(life: Life): Clock {
  return {
    nowUs: () => 1_700_000_000_000_000 + life.disk.events.length,
    after(delayMs, callback) {
      const timer = { delayMs, callback };
      life.timers.push(timer);
      return () => {
        life.timers = life.timers.filter((one) => one !== timer);
      };
    },
  };
}

/** So few events are kept that retention drops some in most runs. */
export const eventCountMax = 24;

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** An engine in this life; `onFailure` notes that its log failed. */
export function engineOptions(life: Life, asyncRemove: boolean): EngineOptions {
  return {
    store: storeOf(life),
    directories: directoriesOf(life),
    blockDevices: memoryBlockDevices(),
    blockLayers: plainLayers,
    clock: clockOf(life),
    logger: silent,
    spaceGuard: { isLow: false, refresh: async () => undefined },
    crashPoint: () => undefined,
    compileExpression: () => 'invalid',
    indexOff: true,
    overlayType: 'overlay',
    configuration: {
      ...policy,
      remoteLayers: false,
      asyncRemove,
      commitSync: 'syncfs',
      autoRemoveDev: false,
      lingerMs: 10_000,
      checkpointEveryEventCount: 16,
      retention: { maxAgeMs: 1e12, maxEventCount: eventCountMax },
    },
    version: '0.0.0',
    bootId: 'boot',
    pid: 1,
    onFailure: () => {
      life.hasFailed = true;
    },
  };
}
