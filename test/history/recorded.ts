// Builds recorded histories for tests: numbers, revisions, times and hashes as the log gives them.
import type { Cause, NewEvent, StoredEvent } from '../../src/machines/kernel/envelope.ts';
import { eventVersions } from '../../src/machines/event-types.ts';
import { Projection } from '../../src/machines/projection.ts';
import type { Checkpoint } from '../../src/machines/checkpoint.ts';
import { eventHash, firstPreviousHash } from '../../src/history/event-hash.ts';

/** 2026-01-31T09:00:00Z. */
export const startUs = Date.UTC(2026, 0, 31, 9) * 1000;
const secondUs = 1_000_000;

const rpc = (method: string): Cause => ({
  kind: 'rpc',
  method,
  requestId: `r-${method.toLowerCase()}`,
  namespace: 'default',
});

/** Events, one second apart, with everything that the log adds. */
export class RecordedHistory {
  readonly events: StoredEvent[] = [];
  readonly #chains = new Map<string, { revision: number; hash: string }>();

  add(stream: string, event: NewEvent, cause: Cause = { kind: 'effect' }): this {
    const chain = this.#chains.get(stream) ?? { revision: 0, hash: firstPreviousHash };
    const globalSeq = this.events.length + 1;
    const recorded = {
      globalSeq,
      stream,
      revision: chain.revision + 1,
      type: event.type,
      schemaVersion: eventVersions[event.type] ?? 1,
      timeUs: startUs + globalSeq * secondUs,
      cause,
      data: event.data,
    };
    const hash = eventHash(recorded, chain.hash);
    this.events.push({ ...recorded, previousHash: chain.hash, hash });
    this.#chains.set(stream, { revision: recorded.revision, hash });
    return this;
  }

  /** The state after the event at `globalSeq`. */
  stateAt(globalSeq: number): Checkpoint {
    const projection = Projection.empty();
    for (const event of this.events.slice(0, globalSeq)) projection.apply(event);
    return projection.toCheckpoint();
  }

  of(stream: string): readonly StoredEvent[] {
    return this.events.filter((event) => event.stream === stream);
  }
}

const failure = { step: 'unlinkat', code: 'EBUSY', message: 'resource busy', path: '/x/1/fs' };

/** A node with a committed layer, a container on it with a failed commit, and a removed view. */
export function sampleHistory(): RecordedHistory {
  return new RecordedHistory()
    .add('node', { type: 'NodeStarted', data: { version: '0.1.0', bootId: 'boot-1', pid: 7 } })
    .add('node', { type: 'IdsReserved', data: { fromId: 1, upTo: 64 } })
    .add(
      'snapshot-1',
      prepared({ snapshotId: 1, role: 'imageLayer', key: 'extract-1 sha256:aa' }),
      rpc('Prepare'),
    )
    .add(
      'snapshot-1',
      {
        type: 'SnapshotCommitStarted',
        data: { name: 'sha256:aa', labels: { a: '1' }, parent: '', parentId: null },
      },
      rpc('Commit'),
    )
    .add('snapshot-1', {
      type: 'SnapshotCommitted',
      data: { operationId: 2, sizeBytes: 1536, inodeCount: 1, block: null },
    })
    .add(
      'snapshot-2',
      prepared({
        snapshotId: 2,
        role: 'containerLayer',
        key: 'box',
        parent: 'sha256:aa',
        parentId: 1,
      }),
      rpc('Prepare'),
    )
    .add(
      'snapshot-3',
      prepared({ snapshotId: 3, role: 'view', key: 'peek', parent: 'sha256:aa', parentId: 1 }),
      rpc('View'),
    )
    .add(
      'snapshot-2',
      { type: 'SnapshotLabelsUpdated', data: { labels: { b: '2' } } },
      rpc('Update'),
    )
    .add('snapshot-3', { type: 'SnapshotRemoveStarted', data: {} }, rpc('Remove'))
    .add('snapshot-3', { type: 'SnapshotRemoveFailed', data: { operationId: 2, failure } })
    .add('snapshot-3', { type: 'SnapshotRemoved', data: { operationId: 3 } })
    .add(
      'snapshot-2',
      {
        type: 'SnapshotCommitStarted',
        data: { name: 'mine', labels: {}, parent: 'sha256:aa', parentId: 1 },
      },
      rpc('Commit'),
    );
}

interface Prepared {
  readonly snapshotId: number;
  readonly role: string;
  readonly key: string;
  readonly parent?: string;
  readonly parentId?: number;
}

function prepared({ parent = '', parentId, ...rest }: Prepared): NewEvent {
  const data = {
    ...rest,
    parent,
    parentId: parentId ?? null,
    labels: {},
    backing: 'directory',
    deviceId: null,
    mode: 'overlayfs',
    writable: null,
    remote: null,
    quotaBytes: null,
  };
  return { type: 'SnapshotPrepared', data };
}
