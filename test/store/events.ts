// Events, checkpoints and ports for the store's tests: small, made from a counter, never from a
// clock.
import type { RecordedEvent, StoredEvent } from '../../src/machines/kernel/envelope.ts';
import { checkpointVersion, type Checkpoint } from '../../src/machines/checkpoint.ts';
import { initialNodeState } from '../../src/machines/node/state.ts';
import type { SnapshotState } from '../../src/machines/snapshot/state.ts';
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
  readonly positions = new Map<string, number>();

  next(stream: string): RecordedEvent {
    this.lastSeq += 1;
    const globalSeq = this.lastSeq;
    const revision = (this.revisions.get(stream) ?? 0) + 1;
    this.revisions.set(stream, revision);
    this.positions.set(stream, globalSeq);
    return {
      globalSeq,
      stream,
      revision,
      type: 'SnapshotUpdated',
      schemaVersion: 1,
      timeUs: 1_700_000_000_000_000 + globalSeq,
      cause: { kind: 'rpc', method: 'Update', requestId: `request-${globalSeq}` },
      data: { labels: { number: String(globalSeq), text: 'ä€😀 '.repeat(globalSeq % 5) } },
    };
  }

  batch(streams: readonly string[]): RecordedEvent[] {
    return streams.map((stream) => this.next(stream));
  }

  /** The state of these streams now. */
  checkpoint(streams: readonly string[]): Checkpoint {
    const snapshots = streams
      .filter((stream) => stream !== 'node')
      .map((stream): SnapshotState => {
        const snapshotId = Number(stream.slice('snapshot-'.length));
        return {
          value: { lifecycle: 'active', backing: 'unassigned' },
          context: { snapshotId } as SnapshotState['context'],
          revision: this.revisions.get(stream) ?? 0,
          lastSeq: this.positions.get(stream) ?? 0,
        };
      });
    const node = { ...initialNodeState, revision: this.revisions.get('node') ?? 0 };
    return { checkpointVersion, globalSeq: this.lastSeq, node, snapshots };
  }
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
