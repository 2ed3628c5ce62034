// A node whose months pass in a moment: the real engine on the store in memory, with directories
// that are made and deleted at once unless the test holds them. It remembers everything that was
// ever recorded, to be compared with what the log still holds.
import { memoryBlockDevices, plainLayers } from '../../src/adapters/memory/block-devices.ts';
import assert from 'node:assert/strict';
import { startEngine } from '../../src/engine/start.ts';
import { MemoryEventStore } from '../../src/adapters/memory/event-store.ts';
import { policy } from '../machines/given.ts';
import { FakeClock } from './fake-clock.ts';
import type { Call, Engine } from '../../src/engine/api.ts';
import type { Result } from '../../src/machines/kernel/rejection.ts';
import type { EffectResult, EventStore, SnapshotDirectories } from '../../src/engine/ports.ts';
import type { RecordedEvent, StoredEvent } from '../../src/machines/kernel/envelope.ts';

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

const silent = { debug() {}, info() {}, warn() {}, error() {} };

class RecordingStore extends MemoryEventStore {
  readonly recorded: RecordedEvent[] = [];

  /** What an append waits for before anything of it is durable. */
  beforeAppend: Promise<void> = Promise.resolve();

  override async append(events: readonly RecordedEvent[]): Promise<void> {
    await this.beforeAppend;
    await super.append(events);
    this.recorded.push(...events);
  }
}

export interface Retention {
  readonly maxAgeMs: number;
  readonly maxEventCount: number;
}

export class LongLivedNode {
  readonly clock = new FakeClock();
  readonly directories = new Set<number>();
  /** While true a deletion that begins does not end before it is released. */
  isDeletionHeld = false;
  #heldDeletions: (() => void)[] = [];
  readonly #store = new RecordingStore();
  readonly #retention: Retention;
  #engine: Engine | undefined;
  #callCount = 0;

  constructor(retention: Partial<Retention>) {
    this.#retention = { maxAgeMs: 7 * dayMs, maxEventCount: 1_000_000, ...retention };
  }

  get engine(): Engine {
    assert.ok(this.#engine, 'the node is started');
    return this.#engine;
  }

  get store(): EventStore {
    return this.#store;
  }

  /** All events that were ever recorded, oldest first. */
  get recorded(): readonly RecordedEvent[] {
    return this.#store.recorded;
  }

  get compactionCount(): number {
    return this.recorded.filter(({ type }) => type === 'LogCompacted').length;
  }

  async start(): Promise<void> {
    const starting = startEngine({
      store: this.#store,
      directories: this.#asDirectories(),
      blockDevices: memoryBlockDevices(),
      blockLayers: plainLayers,
      clock: this.clock,
      logger: silent,
      spaceGuard: { isLow: false, refresh: async () => undefined },
      crashPoint: () => undefined,
      compileExpression: () => 'invalid',
      indexOff: true,
      overlayType: 'overlay',
      configuration: {
        ...policy,
        remoteLayers: false,
        asyncRemove: false,
        commitSync: 'none',
        autoRemoveDev: false,
        lingerMs: 10_000,
        checkpointEveryEventCount: 500,
        retention: this.#retention,
      },
      version: '0.0.0',
      bootId: 'boot',
      pid: 1,
      onFailure: (failure) => {
        throw failure;
      },
    });
    this.#engine = await this.clock.until(starting);
  }

  /** Dies as by kill -9, and starts again. */
  async crash(): Promise<void> {
    this.clock.forgetTimers();
    this.isDeletionHeld = false;
    this.#heldDeletions = [];
    await this.start();
  }

  /** Nothing more becomes durable until the function is called that this returns. */
  holdAppends(): () => void {
    let release = (): void => undefined;
    this.#store.beforeAppend = new Promise((resolve) => {
      release = resolve;
    });
    return () => release();
  }

  releaseDeletions(): void {
    this.isDeletionHeld = false;
    for (const release of this.#heldDeletions.splice(0)) release();
  }

  async call(work: (engine: Engine, call: Call) => Promise<Result<unknown>>): Promise<void> {
    this.#callCount += 1;
    const cause = { kind: 'rpc', requestId: `request-${this.#callCount}` } as const;
    const result = await this.clock.until(work(this.engine, { cause, deadlineMs: 1e9 }));
    assert.ok(result.ok, result.ok ? '' : result.rejection.message);
  }

  prepare(key: string): Promise<void> {
    return this.call((engine, call) => engine.prepare({ key, parent: '', labels: {} }, call));
  }

  remove(key: string): Promise<void> {
    return this.call((engine, call) => engine.remove(key, call));
  }

  relabel(name: string, value: string): Promise<void> {
    const request = { name, labels: { value }, paths: [] };
    return this.call((engine, call) => engine.update(request, call));
  }

  /** A day on which containers come and go, evenly. */
  async busyDay(containerCount: number): Promise<void> {
    const dayNumber = Math.floor(this.clock.nowUs() / dayMs / 1_000);
    const endUs = this.clock.nowUs() + dayMs * 1_000;
    for (let count = 0; count < containerCount; count += 1) {
      const key = `container-${dayNumber}-${count}`;
      await this.prepare(key);
      await this.remove(key);
      await this.clock.pass(dayMs / containerCount - 100);
    }
    await this.clock.pass((endUs - this.clock.nowUs()) / 1_000);
  }

  /** What the log still holds of one stream, or from its first position on. */
  async kept(stream?: string): Promise<StoredEvent[]> {
    const events: StoredEvent[] = [];
    for await (const part of this.#store.read(stream === undefined ? {} : { stream })) {
      events.push(...part);
    }
    return events;
  }

  #asDirectories(): SnapshotDirectories {
    const done = async (work: () => unknown): Promise<EffectResult<void>> => {
      work();
      return { ok: true, value: undefined };
    };
    return {
      path: '/snapshots',
      create: ({ snapshotId }) => done(() => this.directories.add(snapshotId)),
      usage: async () => ({ ok: true, value: { sizeBytes: 4096, inodeCount: 1 } }),
      sync: () => done(() => undefined),
      remove: async (snapshotId) => {
        if (this.isDeletionHeld) {
          await new Promise<void>((resolve) => this.#heldDeletions.push(resolve));
        }
        return done(() => this.directories.delete(snapshotId));
      },
      list: async () => ({ snapshotIds: [...this.directories], foreign: [] }),
    };
  }
}
