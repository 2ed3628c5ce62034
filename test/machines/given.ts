// given / when / then for the snapshot decisions: events are folded into a projection, a decision
// is asked, and what it answers is compared. An accepted event is also folded, so that no decision
// can answer one that the machine refuses.
import assert from 'node:assert/strict';
import { eventVersions } from '../../src/machines/event-types.ts';
import { Projection } from '../../src/machines/projection.ts';
import { snapshotStream } from '../../src/machines/snapshot/events.ts';
import type { RecordedEvent } from '../../src/machines/kernel/envelope.ts';
import type { RejectionCode, Result } from '../../src/machines/kernel/rejection.ts';
import type { NewSnapshotEvent, SnapshotPolicy } from '../../src/machines/snapshot/decide.ts';
import type { BlockContent, SnapshotEventData } from '../../src/machines/snapshot/events.ts';
import type { SnapshotState } from '../../src/machines/snapshot/state.ts';

/** An event of one snapshot, not yet numbered. */
export interface Step {
  readonly snapshotId: number;
  readonly event: NewSnapshotEvent;
}

const step = (snapshotId: number, event: NewSnapshotEvent): Step => ({ snapshotId, event });

/** The configuration's defaults about what is written. */
export const policy: SnapshotPolicy = {
  readsRemoteLayers: false,
  rootfsQuota: '',
  runtimeType: 'containerd',
  rwMode: 'overlayfs',
  writableLayerType: 'append',
  defaultFsType: 'ext4',
};

/** What a SnapshotPrepared holds unless a test says otherwise. */
export const preparedData = (
  snapshotId: number,
  changes: Partial<SnapshotEventData['SnapshotPrepared']> = {},
): SnapshotEventData['SnapshotPrepared'] => ({
  snapshotId,
  role: 'containerLayer',
  key: `key-${snapshotId}`,
  parent: '',
  parentId: null,
  labels: {},
  backing: 'directory',
  deviceId: null,
  mode: 'overlayfs',
  writable: null,
  remote: null,
  quotaBytes: null,
  ...changes,
});

export const prepared = (
  snapshotId: number,
  changes: Partial<SnapshotEventData['SnapshotPrepared']> = {},
): Step => step(snapshotId, { type: 'SnapshotPrepared', data: preparedData(snapshotId, changes) });

export const viewed = (
  snapshotId: number,
  changes: Partial<SnapshotEventData['SnapshotPrepared']> = {},
): Step => prepared(snapshotId, { role: 'view', ...changes });

export const commitStarted = (
  snapshotId: number,
  name: string,
  changes: Partial<SnapshotEventData['SnapshotCommitStarted']> = {},
): Step =>
  step(snapshotId, {
    type: 'SnapshotCommitStarted',
    data: { name, labels: {}, parent: '', parentId: null, ...changes },
  });

export const commitEnded = (
  snapshotId: number,
  operationId: number,
  block: BlockContent | null = null,
): Step =>
  step(snapshotId, {
    type: 'SnapshotCommitted',
    data: { operationId, sizeBytes: 4096, inodeCount: 2, block },
  });

interface Parentage {
  readonly parent: string;
  readonly parentId: number | null;
}

const ofNothing: Parentage = { parent: '', parentId: null };

/** A layer committed under `name`, at revision 3; `block` if it is a block layer. */
export const committed = (
  snapshotId: number,
  name: string,
  parent: Parentage = ofNothing,
  block: BlockContent | null = null,
): readonly Step[] => [
  prepared(snapshotId, { role: 'imageLayer', ...parent }),
  commitStarted(snapshotId, name, parent),
  commitEnded(snapshotId, 2, block),
];

/** The same of a block layer. */
export const committedBlock = (
  snapshotId: number,
  name: string,
  parent?: Parentage,
): readonly Step[] => committed(snapshotId, name, parent, blockContent());

/** What a finished layer holds. */
export const blockContent = (fileSystem = 'ext4'): BlockContent => ({
  ...{ fileSystem, layerFile: 'overlaybd.commit', mountOptions: '' },
});

export const failure = { step: 'unlinkat', code: 'EBUSY', message: 'in use' } as const;

export const commitFailed = (snapshotId: number, operationId: number): Step =>
  step(snapshotId, { type: 'SnapshotCommitFailed', data: { operationId, failure } });

export const labelsUpdated = (snapshotId: number, labels: Record<string, string>): Step =>
  step(snapshotId, { type: 'SnapshotLabelsUpdated', data: { labels } });

export const removeDeferred = (snapshotId: number): Step =>
  step(snapshotId, { type: 'SnapshotRemoveDeferred', data: {} });

export const removeStarted = (snapshotId: number): Step =>
  step(snapshotId, { type: 'SnapshotRemoveStarted', data: {} });

export const removeFailed = (snapshotId: number, operationId: number): Step =>
  step(snapshotId, { type: 'SnapshotRemoveFailed', data: { operationId, failure } });

export const removed = (snapshotId: number, operationId: number): Step =>
  step(snapshotId, { type: 'SnapshotRemoved', data: { operationId } });

export const prepareFailed = (snapshotId: number, key = `key-${snapshotId}`): Step =>
  step(snapshotId, {
    type: 'SnapshotPrepareFailed',
    data: { snapshotId, role: 'containerLayer', key, parent: '', failure },
  });

/** Numbers `event` as the next one of a projection; time is its position. */
export function recordNext(projection: Projection, { snapshotId, event }: Step): RecordedEvent {
  const globalSeq = projection.globalSeq + 1;
  return {
    ...event,
    globalSeq,
    stream: snapshotStream(snapshotId),
    revision: (projection.snapshot(snapshotId)?.revision ?? 0) + 1,
    schemaVersion: eventVersions[event.type] ?? 0,
    timeUs: globalSeq * 1000,
    cause: { kind: 'rpc', method: 'Test', requestId: `request-${globalSeq}` },
  };
}

/** Folds `steps` in order from nothing. */
export function fold(...steps: readonly (Step | readonly Step[])[]): Projection {
  const projection = Projection.empty();
  for (const each of steps.flat()) projection.apply(recordNext(projection, each));
  return projection;
}

export interface Then {
  /** Exactly this event, which the machine takes; answers the snapshot's next state. */
  event(snapshotId: number, expected: NewSnapshotEvent): SnapshotState | undefined;
  /** Refused with this code; the message holds every fragment (subject, reason, next step). */
  refused(code: RejectionCode, ...fragments: readonly string[]): void;
  /** No event at all: repeated or late. */
  nothing(): void;
}

type Answer = Result<NewSnapshotEvent> | readonly NewSnapshotEvent[];

/** given(events).when(decision).event | refused | nothing. */
export function given(...steps: readonly (Step | readonly Step[])[]): {
  when(decide: (facts: Projection['catalog']) => Answer): Then;
} {
  const projection = fold(...steps);
  return {
    when(decide) {
      const answer = decide(projection.catalog);
      const events = 'ok' in answer ? (answer.ok ? [answer.value] : []) : answer;
      return {
        event(snapshotId, expected) {
          assert.deepEqual(events, [expected], 'ok' in answer && !answer.ok ? explain(answer) : '');
          projection.apply(recordNext(projection, { snapshotId, event: expected }));
          return projection.snapshot(snapshotId);
        },
        refused(code, ...fragments) {
          assert.ok('ok' in answer && !answer.ok, `accepted: ${JSON.stringify(events)}`);
          assert.equal(answer.rejection.code, code, answer.rejection.message);
          for (const fragment of fragments) {
            assert.ok(answer.rejection.message.includes(fragment), answer.rejection.message);
          }
        },
        nothing() {
          assert.ok(!('ok' in answer), 'only outcomes may be met by silence');
          assert.deepEqual(events, []);
        },
      };
    },
  };
}

const explain = (answer: { readonly rejection: { readonly message: string } }): string =>
  answer.rejection.message;
