// The real engine on the controlled world: calls run concurrently, their effects end in any order
// or fail, the log fails, the program crashes and starts again. After every step the durable log
// obeys the independent model, and every reply is one that the durable log bears out.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { startEngine } from '../../src/engine/start.ts';
import { Projection } from '../../src/machines/projection.ts';
import { assertReplayEqual, assertStateMatches, replay } from './folded-state.ts';
import { Disk, engineOptions, Life } from './engine-ports.ts';
import { assertLogHolds } from './kept-history.ts';
import type { Engine } from '../../src/engine/api.ts';
import type { Result } from '../../src/machines/kernel/rejection.ts';
import type { Labels, SnapshotEvent } from '../../src/machines/snapshot/events.ts';

export type EngineCommand =
  | {
      readonly kind: 'prepare' | 'view';
      readonly key: string;
      readonly parent: string;
      readonly labels: Labels;
    }
  | {
      readonly kind: 'commit';
      readonly key: string;
      readonly name: string;
      readonly parent: string;
      readonly labels: Labels;
    }
  | { readonly kind: 'remove' | 'stat' | 'mounts' | 'usage'; readonly key: string }
  | { readonly kind: 'update'; readonly key: string; readonly labels: Labels }
  | { readonly kind: 'cleanup' | 'list' };

export type EngineStep =
  /** In a burst the next step comes in the same turn. */
  | { readonly kind: 'call'; readonly command: EngineCommand; readonly isBurst: boolean }
  | {
      readonly kind: 'complete';
      readonly pick: number;
      readonly fails: boolean;
      readonly failsLog: boolean;
    }
  | { readonly kind: 'timers' | 'retention' }
  /** An operator drops history up to so many events before the end. */
  | { readonly kind: 'compact'; readonly keptCount: number }
  | { readonly kind: 'crash'; readonly lands: number; readonly startedAfter: number };

export class EngineWorld {
  readonly counts = {
    accepted: 0,
    refused: 0,
    crashes: 0,
    logFailures: 0,
    failedEffects: 0,
    compactions: 0,
  };
  readonly #disk = new Disk();
  readonly #asyncRemove: boolean;
  #life = new Life(this.#disk);
  #engine: Engine | undefined;
  #calls = new Set<string>();
  #callCount = 0;
  #firstSeq = 1;
  #broken: unknown;

  constructor(asyncRemove: boolean) {
    this.#asyncRemove = asyncRemove;
  }

  async step(step: EngineStep): Promise<void> {
    switch (step.kind) {
      case 'call':
        this.#call(step.command);
        if (step.isBurst) return;
        break;
      case 'complete': {
        const { pick, fails, failsLog } = step;
        const name = this.#life.complete(pick, (one) => !(one === 'append' ? failsLog : fails));
        const isEffect = name !== undefined && name !== 'append' && name !== 'compact';
        if (fails && isEffect) this.counts.failedEffects += 1;
        break;
      }
      case 'compact':
        this.#compact(step.keptCount);
        break;
      case 'retention':
        this.#life.fireRetention();
        break;
      case 'timers':
        this.#life.fireTimers();
        break;
      case 'crash':
        await this.#crash(step.lands, step.startedAfter);
    }
    await this.#settle();
    if (this.#life.hasFailed) await this.#crash(1, 9);
    this.#check();
    await this.#checkLog();
  }

  /** Starts; the program crashes once more when `crashAfter` operations of its start have ended. */
  async start(crashAfter = Infinity): Promise<void> {
    const life = new Life(this.#disk);
    this.#life = life;
    this.#calls = new Set();
    const starting = startEngine({
      ...engineOptions(life, this.#asyncRemove),
      onFailure: () => {
        life.hasFailed = true;
        this.counts.logFailures += 1;
      },
    });
    let engine: Engine | undefined;
    starting.then(
      (started) => (engine = started),
      (error: unknown) => (this.#broken = error),
    );
    for (let endedCount = 0; ; endedCount += 1) {
      await this.#settle();
      if (this.#broken !== undefined) throw this.#broken as Error;
      if (endedCount >= crashAfter) {
        this.#engine = undefined;
        await this.#crash(endedCount, Infinity);
        return;
      }
      if (engine !== undefined) break;
      assert.ok(life.pending.length > 0, 'a start that is not done waits for something');
      life.complete(0, () => true);
    }
    this.#engine = engine;
  }

  /** Lets everything end: nothing hangs, nothing leaks, memory is what the log says. */
  async finish(): Promise<void> {
    await this.#drain();
    this.#call({ kind: 'cleanup' });
    await this.#drain();
    assert.deepEqual([...this.#calls], [], 'every call was answered');
    const waiting = ['removing', 'deferred'];
    const entries = [...this.#disk.model.entries.values()];
    assert.deepEqual(
      entries.filter(({ kind }) => waiting.includes(kind)),
      [],
      'Cleanup freed everything',
    );
    // A directory without a record whose deletion failed waits for the next start.
    this.#assertNoLeaks(this.#disk.undeleted);
    assert.ok(this.#engine);
    assertReplayEqual(this.#disk.events, Projection.fromCheckpoint(this.#engine.checkpoint()));
    await assertLogHolds(this.#disk.log, this.#disk.events);
    await this.#crash(0, Infinity);
    await this.#drain();
    this.#assertNoLeaks(new Set());
  }

  #assertNoLeaks(excepted: ReadonlySet<number>): void {
    const { model, directories } = this.#disk;
    const kept = [...model.entries.values()].filter(({ kind }) => kind !== 'gone');
    const found = [...directories.keys()].filter((id) => !excepted.has(id));
    assert.deepEqual(found.sort(), kept.map(({ id }) => id).sort(), 'no directory is left over');
  }

  async #drain(): Promise<void> {
    for (let round = 0; round < 1_000; round += 1) {
      await this.#settle();
      this.#check();
      if (this.#life.pending.length > 0) this.#life.complete(0, () => true);
      else if (this.#life.fireTimers() === 0) return;
    }
    assert.fail('it never comes to rest');
  }

  // Promises and the flush, which begins from setImmediate, have run when this resolves.
  async #settle(): Promise<void> {
    for (let round = 0; round < 3; round += 1) await turn();
  }

  async #crash(lands: number, startedAfter: number): Promise<void> {
    this.counts.crashes += 1;
    this.#life.crash((index) => ((lands >> (index % 8)) & 1) === 1);
    this.#check();
    await this.start(startedAfter < 3 ? startedAfter : Infinity);
  }

  #check(): void {
    this.#broken ??= this.#life.violation;
    if (this.#broken !== undefined) throw this.#broken as Error;
    const { model, directories, events } = this.#disk;
    for (const { id, kind } of model.entries.values()) {
      if (kind === 'gone' || kind === 'removing') continue;
      assert.equal(directories.get(id), 'whole', `the data of ${id} (${kind}) is there`);
    }
    assertStateMatches(replay(events), model);
    const checkpoint = this.#engine?.checkpoint();
    if (checkpoint === undefined) return;
    assert.ok(checkpoint.globalSeq >= events.length, 'I4: memory is not behind the log');
    if (checkpoint.globalSeq > events.length) return;
    assertReplayEqual(events, Projection.fromCheckpoint(checkpoint));
  }

  /** When the horizon has moved, the log holds exactly what it must. */
  async #checkLog(): Promise<void> {
    const { log, events } = this.#disk;
    if (log.firstSeq === this.#firstSeq) return;
    this.#firstSeq = log.firstSeq;
    this.counts.compactions += 1;
    await assertLogHolds(log, events);
  }

  #compact(keptCount: number): void {
    const life = this.#life;
    const throughSeq = this.#disk.log.lastSeq - keptCount;
    this.#engine?.compact(throughSeq, { kind: 'operator' }).then(
      (result) => {
        if (life !== this.#life || !result.ok) return;
        if (result.value.horizonSeq > throughSeq) this.#broken = new Error('too much was dropped');
      },
      (error: unknown) => {
        if (life === this.#life && !life.hasFailed) this.#broken = error;
      },
    );
  }

  #call(command: EngineCommand): void {
    const engine = this.#engine;
    if (engine === undefined) return;
    const life = this.#life;
    this.#callCount += 1;
    const requestId = `${command.kind}-${this.#callCount}`;
    this.#calls.add(requestId);
    ask(engine, command, requestId).then(
      (result) => {
        if (life !== this.#life) return;
        this.#calls.delete(requestId);
        try {
          this.#checkReply(command, requestId, result);
        } catch (error) {
          this.#broken = error;
        }
      },
      (error: unknown) => {
        if (life !== this.#life || life.hasFailed) return;
        this.#broken = error;
      },
    );
  }

  /** I3: what a reply says is durable when it leaves. */
  #checkReply(command: EngineCommand, requestId: string, result: Result<unknown>): void {
    if (!result.ok) {
      this.counts.refused += 1;
      return;
    }
    this.counts.accepted += 1;
    const { events } = this.#disk;
    const has = (type: RegExp): boolean =>
      events.some((event) => event.cause.requestId === requestId && type.test(event.type));
    switch (command.kind) {
      case 'prepare':
      case 'view':
        assert.ok(has(/^SnapshotPrepared$/), `I3: ${requestId} is durable`);
        break;
      case 'remove':
        assert.ok(has(/^SnapshotRemove(Started|Deferred)$/), `I3: ${requestId} is durable`);
        break;
      case 'update':
        assert.ok(has(/^SnapshotLabelsUpdated$/), `I3: ${requestId} is durable`);
        break;
      case 'commit':
        assert.ok(this.#isCommitted(command), `I3: ${requestId} is durable, as it was asked for`);
        break;
      case 'stat':
        assert.ok(this.#wasKnown(command.key), `I3: ${command.key} is durable`);
    }
  }

  /** Whether a commit by this name, with these labels and this parent, was carried out. */
  #isCommitted({ key, name, labels, parent }: Extract<EngineCommand, { kind: 'commit' }>): boolean {
    const prepared = new Map<string, { readonly key: string; readonly parent: string }>();
    const started = new Set<string>();
    for (const { type, stream, data } of this.#disk.events as readonly SnapshotEvent[]) {
      if (type === 'SnapshotPrepared') prepared.set(stream, data);
      if (type === 'SnapshotCommitStarted') {
        const before = prepared.get(stream);
        const isSame =
          before?.key === key &&
          data.name === name &&
          data.parent === (parent === '' ? before.parent : parent) &&
          isDeepStrictEqual(data.labels, labels);
        if (isSame) started.add(stream);
        else started.delete(stream);
      }
      if (type === 'SnapshotCommitted' && started.has(stream)) return true;
    }
    return false;
  }

  #wasKnown(key: string): boolean {
    const data = this.#disk.events.map((event) => event.data as { key?: string; name?: string });
    return data.some((one) => one.key === key || one.name === key);
  }
}

function ask(engine: Engine, command: EngineCommand, requestId: string): Promise<Result<unknown>> {
  const call = {
    cause: { kind: 'rpc', method: command.kind, requestId },
    deadlineMs: 1e9,
  } as const;
  switch (command.kind) {
    case 'prepare':
      return engine.prepare(command, call);
    case 'view':
      return engine.view(command, call);
    case 'commit':
      return engine.commit(command, call);
    case 'update':
      return engine.update({ name: command.key, labels: command.labels, paths: [] }, call);
    case 'cleanup':
      return engine.cleanup(call);
    case 'list':
      return engine.list([], call);
    default:
      return engine[command.kind](command.key, call);
  }
}
