// Events, checkpoints and ports for the store's tests: small, made from a counter, never from a
// clock.
import type { NewEvent, RecordedEvent, StoredEvent } from '../../src/machines/kernel/envelope.ts';
import type { Checkpoint } from '../../src/machines/checkpoint.ts';
import { GapFold } from '../../src/machines/gap-fold.ts';
import { snapshotIdOf, snapshotStream } from '../../src/machines/snapshot/events.ts';
import type { Clock, EventStore, Logger, ReadOptions } from '../../src/engine/ports.ts';

export const quietLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

let nowUs = 1_700_000_000_000_000;

export const countingClock: Clock = {
  nowUs: () => (nowUs += 1_000_000),
  after: () => () => undefined,
};

/** Numbers events: the caller names only their streams. */
export class EventNumbers {
  lastSeq = 0;
  readonly revisions = new Map<string, number>();
  readonly #fold = new GapFold(undefined);

  next(stream: string, content?: NewEvent): RecordedEvent {
    this.lastSeq += 1;
    const globalSeq = this.lastSeq;
    const revision = (this.revisions.get(stream) ?? 0) + 1;
    this.revisions.set(stream, revision);
    const event = {
      globalSeq,
      stream,
      revision,
      schemaVersion: 1,
      timeUs: 1_700_000_000_000_000 + globalSeq,
      cause: { kind: 'rpc', method: 'Update', requestId: `request-${globalSeq}` },
      ...(content ?? contentOf(stream, revision, globalSeq)),
    } satisfies RecordedEvent;
    this.#fold.apply(event);
    return event;
  }

  /** The events with which these snapshots end. */
  ends(streams: readonly string[]): RecordedEvent[] {
    return streams.flatMap((stream) => {
      const operationId = (this.revisions.get(stream) ?? 0) + 1;
      const started = this.next(stream, { type: 'SnapshotRemoveStarted', data: {} });
      return [started, this.next(stream, { type: 'SnapshotRemoved', data: { operationId } })];
    });
  }

  batch(streams: readonly string[]): RecordedEvent[] {
    return streams.map((stream) => this.next(stream));
  }

  /** The state of these streams now. */
  checkpoint(streams: readonly string[]): Checkpoint {
    const whole = this.#fold.toCheckpoint(this.lastSeq);
    const wanted = new Set(streams);
    const snapshots = whole.snapshots.filter(({ context }) =>
      wanted.has(snapshotStream(context.snapshotId)),
    );
    return { ...whole, snapshots };
  }
}

/** What the machines allow: a stream begins with its Prepare, then its labels change. */
function contentOf(stream: string, revision: number, number: number): NewEvent {
  if (stream === 'node') {
    const upTo = 1000 * revision;
    return { type: 'IdsReserved', data: { fromId: upTo - 999, upTo } };
  }
  const labels = { number: String(number), text: 'ä€😀 '.repeat(number % 5) };
  if (revision > 1) return { type: 'SnapshotLabelsUpdated', data: { labels } };
  const snapshotId = snapshotIdOf(stream) ?? 0;
  const naming = { snapshotId, key: `key-${snapshotId}`, parent: '', parentId: null };
  const data = { ...naming, role: 'containerLayer', labels, backing: 'directory' };
  return { type: 'SnapshotPrepared', data };
}

export async function readAll(store: EventStore, options?: ReadOptions): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  for await (const part of store.read(options)) {
    events.push(...part);
  }
  return events;
}

/** The event as it was appended. */
export function withoutHashes(event: StoredEvent): RecordedEvent {
  const { previousHash: _previousHash, hash: _hash, ...recorded } = event;
  return recorded;
}
