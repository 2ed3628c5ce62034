// The smallest program around the pure core: a log, directories, and crashes at every boundary. It
// does what the engine does, one step at a time, so that the core is tested without the engine.
import assert from 'node:assert/strict';
import { Projection } from '../../src/machines/projection.ts';
import { nodeStream } from '../../src/machines/node/events.ts';
import {
  decideCommit,
  decideOutcome,
  decidePrepare,
  decideRemove,
  decideUpdate,
  type NewSnapshotEvent,
  type Outcome,
} from '../../src/machines/snapshot/decide.ts';
import { intentsOf, type Intent } from '../../src/machines/snapshot/intents.ts';
import { snapshotStream, type Labels } from '../../src/machines/snapshot/events.ts';
import { failure, policy } from '../machines/given.ts';
import { assertReplayEqual, assertStateMatches, replay } from './folded-state.ts';
import { LogModel } from './log-model.ts';
import type { NewEvent, RecordedEvent } from '../../src/machines/kernel/envelope.ts';
import type { Result } from '../../src/machines/kernel/rejection.ts';
import type { SnapshotState } from '../../src/machines/snapshot/state.ts';

export const crashPoints = [
  'append:before',
  'append:after',
  'effect:middle',
  'effect:after',
] as const;
export type CrashPoint = (typeof crashPoints)[number] | undefined;

export type Command =
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
  | { readonly kind: 'remove'; readonly key: string; readonly isDeferred: boolean }
  | { readonly kind: 'update'; readonly key: string; readonly labels: Labels }
  | { readonly kind: 'effect'; readonly pick: number; readonly fails: boolean }
  | { readonly kind: 'cleanup' }
  | { readonly kind: 'lateOutcome'; readonly pick: number };

class Crash extends Error {}

const idBlockSize = 8;

export class CoreWorld {
  readonly log: RecordedEvent[] = [];
  readonly counts = { accepted: 0, refused: 0, crashes: 0, lateRefused: 0, effects: 0 };
  readonly #model = new LogModel();
  readonly #directories = new Map<number, 'whole' | 'half'>();
  readonly #oldOutcomes: { readonly id: number; readonly operationId: number; outcome: Outcome }[] =
    [];
  readonly #handedOut = new Set<number>();
  #memory = Projection.empty();
  #nextId = 1;
  #crashAt: CrashPoint;

  /** Runs one command; a crash at `crashAt` (once) is followed by recovery, which may crash too. */
  step(command: Command, crashAt: CrashPoint, recoveryCrashAt: CrashPoint): void {
    this.#crashAt = crashAt;
    if (!this.#survives(() => this.#run(command))) {
      this.#crashAt = recoveryCrashAt;
      while (!this.#survives(() => this.#recover())) this.#crashAt = undefined;
    }
    this.#crashAt = undefined;
    this.check();
  }

  check(): void {
    for (const event of this.log.slice(this.#model.globalSeq)) this.#model.apply(event);
    assertStateMatches(this.#memory, this.#model);
    assertReplayEqual(this.log, this.#memory);
    for (const { id, kind } of this.#model.entries.values()) {
      const directory = this.#directories.get(id);
      if (kind === 'gone') assert.equal(directory, undefined, `nothing of ${id} is left`);
      else if (kind !== 'removing') assert.equal(directory, 'whole', `the data of ${id} is there`);
    }
  }

  #survives(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.counts.crashes += 1;
      this.#memory = replay(this.log);
      return false;
    }
  }

  #boundary(name: CrashPoint): void {
    if (this.#crashAt === name) throw new Crash(name);
  }

  #append(stream: string, event: NewEvent, revision: number): void {
    this.#boundary('append:before');
    const globalSeq = this.log.length + 1;
    const recorded: RecordedEvent = {
      ...event,
      globalSeq,
      stream,
      revision,
      schemaVersion: 1,
      timeUs: globalSeq,
      cause: { kind: 'rpc' },
    };
    this.#memory.apply(recorded);
    this.log.push(recorded);
    this.#boundary('append:after');
  }

  #record(id: number, event: NewSnapshotEvent): void {
    this.#append(snapshotStream(id), event, (this.#memory.snapshot(id)?.revision ?? 0) + 1);
  }

  #takeId(): number {
    if (this.#nextId > this.#memory.node.idsReservedUpTo) {
      const upTo = this.#nextId + idBlockSize - 1;
      const revision = this.#memory.node.revision + 1;
      this.#append(
        nodeStream,
        { type: 'IdsReserved', data: { fromId: this.#nextId, upTo } },
        revision,
      );
    }
    const id = this.#nextId++;
    assert.ok(!this.#handedOut.has(id), `I11: id ${id} was handed out before`);
    this.#handedOut.add(id);
    return id;
  }

  #run(command: Command): void {
    const { catalog } = this.#memory;
    switch (command.kind) {
      case 'prepare':
      case 'view':
        this.#prepare(command);
        return;
      case 'commit': {
        const state = catalog.find(command.key);
        this.#take(state, decideCommit(command.key, command, state, catalog));
        return;
      }
      case 'remove': {
        const state = catalog.find(command.key);
        this.#take(state, decideRemove(command.key, command.isDeferred, state, catalog));
        return;
      }
      case 'update': {
        const state = catalog.find(command.key);
        this.#take(state, decideUpdate(command.key, { ...command, paths: [] }, state));
        return;
      }
      case 'cleanup':
        this.#cleanup();
        return;
      case 'effect': {
        const intents = [...catalog.states.values()].flatMap(intentsOf);
        const intent = intents[command.pick % Math.max(1, intents.length)];
        if (intent !== undefined) this.#carryOut(intent, command.fails);
        return;
      }
      case 'lateOutcome':
        this.#answerLate(command.pick);
    }
  }

  #prepare(command: Extract<Command, { kind: 'prepare' | 'view' }>): void {
    const id = this.#takeId();
    const kind = command.kind === 'view' ? 'view' : 'active';
    const decided = decidePrepare(
      { ...command, kind, snapshotId: id, policy },
      this.#memory.catalog,
    );
    if (!decided.ok) {
      this.counts.refused += 1;
      return;
    }
    this.#directories.set(id, 'half');
    this.#boundary('effect:middle');
    this.#directories.set(id, 'whole');
    this.#boundary('effect:after');
    this.#record(id, decided.value);
    this.counts.accepted += 1;
  }

  #take(state: SnapshotState | undefined, decided: Result<NewSnapshotEvent>): void {
    if (!decided.ok) {
      this.counts.refused += 1;
      return;
    }
    assert.ok(state !== undefined, 'what is accepted has a state');
    this.#record(state.context.snapshotId, decided.value);
    this.counts.accepted += 1;
  }

  #cleanup(): void {
    for (const state of [...this.#memory.catalog.states.values()]) {
      const { snapshotId } = state.context;
      if (state.value.lifecycle === 'removeDeferred') {
        this.#record(snapshotId, { type: 'SnapshotRemoveStarted', data: {} });
      }
    }
  }

  #carryOut(intent: Intent, fails: boolean): void {
    const { snapshotId: id, operationId, kind } = intent;
    this.counts.effects += 1;
    if (kind === 'deleteDirectory') this.#directories.set(id, 'half');
    this.#boundary('effect:middle');
    if (kind === 'deleteDirectory' && !fails) this.#directories.delete(id);
    this.#boundary('effect:after');
    const done: Outcome =
      kind === 'sealLayer'
        ? { kind: 'sealed', sizeBytes: 4096 * id, inodeCount: id, block: null }
        : { kind: 'deleted' };
    const outcome: Outcome = fails ? { kind: 'failed', failure } : done;
    this.#oldOutcomes.push({ id, operationId, outcome }, { id, operationId, outcome: done });
    const state = this.#memory.snapshot(id);
    assert.ok(state !== undefined, 'what owes an effect is there');
    const events = decideOutcome(state, operationId, outcome);
    assert.equal(events.length, 1, 'the outcome of the operation in flight is recorded');
    for (const event of events) this.#record(id, event);
  }

  // An answer that comes a second time, or after its operation was given up, changes nothing.
  #answerLate(pick: number): void {
    const old = this.#oldOutcomes[pick % Math.max(1, this.#oldOutcomes.length)];
    const state = old === undefined ? undefined : this.#memory.snapshot(old.id);
    if (old === undefined || state === undefined) return;
    if (intentsOf(state).some((intent) => intent.operationId === old.operationId)) return;
    assert.deepEqual(decideOutcome(state, old.operationId, old.outcome), [], 'I10: it is late');
    this.counts.lateRefused += 1;
  }

  /** Start-up: ids above everything seen, orphans deleted, everything in flight completed. */
  #recover(): void {
    const { catalog, node } = this.#memory;
    const found = [...this.#directories.keys()];
    this.#nextId = Math.max(node.idsReservedUpTo, ...found, 0) + 1;
    for (const id of found) if (catalog.get(id) === undefined) this.#directories.delete(id);
    for (const state of [...catalog.states.values()]) {
      for (const intent of intentsOf(state)) this.#carryOut(intent, false);
    }
  }
}
