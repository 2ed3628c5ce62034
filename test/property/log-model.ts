// What a log may hold, said a second time and independently of the machines and the catalog: folds
// events into plain records and throws where an invariant is broken. Numbers are those of the
// architecture page: I1 no gaps, I2 legal in the state met, I5 one owner of a name, I6 a live
// snapshot's parent is committed, I7 a committed one changes its labels only, I8 no view is
// committed, I10 an outcome belongs to the operation in flight, I11 an id is used once.
import assert from 'node:assert/strict';
import type { RecordedEvent } from '../../src/machines/kernel/envelope.ts';
import type { SnapshotEvent } from '../../src/machines/snapshot/events.ts';

export type Kind = 'active' | 'view' | 'committed' | 'deferred' | 'removing' | 'gone';

export interface Entry {
  readonly id: number;
  readonly isView: boolean;
  kind: Kind;
  key: string;
  parentId: number | null;
  labels: string;
  revision: number;
  /** Position of its newest event. */
  lastSeq: number;
  /** Revision of the event that began the operation in flight. */
  operationId: number | null;
  commit: {
    readonly name: string;
    readonly parentId: number | null;
    readonly labels: string;
  } | null;
}

const isVisible = (entry: Entry): boolean =>
  entry.kind === 'active' || entry.kind === 'view' || entry.kind === 'committed';

export class LogModel {
  readonly entries = new Map<number, Entry>();
  reservedUpTo = 0;
  globalSeq = 0;
  #nodeRevision = 0;

  visible(): readonly Entry[] {
    return [...this.entries.values()].filter(isVisible);
  }

  find(key: string): Entry | undefined {
    return this.visible().find((entry) => entry.key === key);
  }

  /** Positions of the events that began what is still in flight. */
  unresolvedSeqs(): readonly number[] {
    const inFlight = [...this.entries.values()].filter(({ operationId }) => operationId !== null);
    return inFlight.map(({ lastSeq }) => lastSeq);
  }

  apply(recorded: RecordedEvent): void {
    assert.equal(recorded.globalSeq, this.globalSeq + 1, 'I1: positions have no gaps');
    this.globalSeq = recorded.globalSeq;
    if (recorded.stream === 'node') {
      assert.equal(recorded.revision, this.#nodeRevision + 1, 'I1: revisions have no gaps');
      this.#nodeRevision = recorded.revision;
      if (recorded.type !== 'IdsReserved') return;
      const { upTo } = recorded.data as { readonly upTo: number };
      assert.ok(upTo > this.reservedUpTo, 'I11: ids are reserved upwards');
      this.reservedUpTo = upTo;
      return;
    }
    const event = recorded as SnapshotEvent;
    const id = Number(event.stream.replace('snapshot-', ''));
    const entry = this.entries.get(id);
    const revision = entry?.revision ?? 0;
    assert.equal(event.revision, revision + 1, `I1: ${event.stream} has no gaps`);
    this.#change(id, entry, event);
    const next = this.entries.get(id);
    if (next !== undefined)
      Object.assign(next, { revision: event.revision, lastSeq: event.globalSeq });
  }

  #change(id: number, entry: Entry | undefined, event: SnapshotEvent): void {
    switch (event.type) {
      case 'SnapshotPrepared':
        this.#prepare(id, entry, event);
        return;
      case 'SnapshotPrepareFailed':
        assert.ok(entry === undefined, `I11: id ${id} was used before`);
        this.entries.set(id, { ...blank, id, isView: event.data.role === 'view', kind: 'gone' });
        return;
      default:
        assert.ok(entry !== undefined, `I2: ${event.type} of unknown ${id}`);
        this.#evolve(entry, event);
    }
  }

  #prepare(
    id: number,
    entry: Entry | undefined,
    event: Extract<SnapshotEvent, { type: 'SnapshotPrepared' }>,
  ): void {
    const { data } = event;
    assert.ok(entry === undefined, `I11: id ${id} was used before`);
    assert.equal(data.snapshotId, id);
    assert.ok(id <= this.reservedUpTo, `I11: id ${id} was not reserved`);
    this.#assertFree(data.key);
    this.#assertParent(data.parentId, data.parent);
    const isView = data.role === 'view';
    const kind = isView ? 'view' : 'active';
    const labels = JSON.stringify(data.labels);
    const { key, parentId } = data;
    this.entries.set(id, { ...blank, id, isView, kind, key, parentId, labels });
  }

  #evolve(entry: Entry, event: SnapshotEvent): void {
    const { data } = event as { readonly data: { readonly operationId?: number } };
    if (data.operationId !== undefined) {
      assert.equal(data.operationId, entry.operationId, 'I10: of the operation in flight');
    }
    switch (event.type) {
      case 'SnapshotCommitStarted': {
        assert.ok(!entry.isView, 'I8: a view is never committed');
        assert.equal(entry.kind, 'active', 'I7: only an active snapshot is committed');
        assert.equal(entry.operationId, null, 'I9: one operation at a time');
        const { name, parent, parentId } = event.data;
        this.#assertFree(name);
        this.#assertParent(parentId, parent);
        if (entry.parentId !== null) assert.equal(parentId, entry.parentId, 'parents stay');
        entry.operationId = event.revision;
        entry.commit = { name, parentId, labels: JSON.stringify(event.data.labels) };
        return;
      }
      case 'SnapshotCommitted': {
        assert.ok(entry.commit !== null, 'I2: a commit is in flight');
        const { name: key, parentId, labels } = entry.commit;
        Object.assign(entry, { kind: 'committed', key, parentId, labels });
        Object.assign(entry, { commit: null, operationId: null });
        return;
      }
      case 'SnapshotCommitFailed':
        assert.ok(entry.commit !== null, 'I2: a commit is in flight');
        Object.assign(entry, { commit: null, operationId: null });
        return;
      case 'SnapshotLabelsUpdated':
        assert.ok(isVisible(entry) && entry.operationId === null, 'I2: labels of a visible one');
        entry.labels = JSON.stringify(event.data.labels);
        return;
      case 'SnapshotRemoveDeferred':
        this.#remove(entry, 'deferred');
        return;
      case 'SnapshotRemoveStarted':
        if (entry.kind !== 'deferred') this.#remove(entry, 'removing');
        entry.kind = 'removing';
        entry.operationId = event.revision;
        return;
      case 'SnapshotRemoveFailed':
        assert.equal(entry.kind, 'removing', 'I2: a removal is in flight');
        entry.operationId = event.revision;
        return;
      case 'SnapshotRemoved':
        assert.equal(entry.kind, 'removing', 'I2: a removal is in flight');
        Object.assign(entry, { kind: 'gone', operationId: null });
        return;
      default:
        assert.fail(`I2: ${event.type} of ${entry.id}, which exists`);
    }
  }

  #remove(entry: Entry, kind: Kind): void {
    assert.ok(
      isVisible(entry) && entry.operationId === null,
      'I2: only what is visible is removed',
    );
    const child = this.visible().find(
      (other) => other.parentId === entry.id || other.commit?.parentId === entry.id,
    );
    assert.equal(child?.key, undefined, `I6: ${entry.key} is removed under its child`);
    entry.kind = kind;
  }

  #assertFree(name: string): void {
    const owner = this.visible().find((one) => one.key === name || one.commit?.name === name);
    assert.equal(owner?.id, undefined, `I5: ${name} has an owner`);
  }

  #assertParent(parentId: number | null, parent: string): void {
    assert.equal(parentId === null, parent === '', 'a parent has a name and an id');
    if (parentId === null) return;
    const entry = this.entries.get(parentId);
    assert.equal(entry?.kind, 'committed', `I6: parent ${parent} is committed`);
    assert.equal(entry?.key, parent, 'the id of a parent is that of its name');
  }
}

const blank: Entry = {
  id: 0,
  isView: false,
  kind: 'gone',
  key: '',
  parentId: null,
  labels: '{}',
  revision: 0,
  lastSeq: 0,
  operationId: null,
  commit: null,
};
