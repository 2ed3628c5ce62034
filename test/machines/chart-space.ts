// Every state, context and event that matters for legality, and what xstate itself and the compiled
// tables answer about them. The tables are what runs; xstate is what they must equal.
import { transition, type AnyStateMachine } from 'xstate';
import { eventVersions } from '../../src/machines/event-types.ts';
import { emptySnapshotContext } from '../../src/machines/snapshot/evolution.ts';
import { snapshotCharts, snapshotMachines } from '../../src/machines/snapshot/machine.ts';
import { failure, preparedData } from './given.ts';
import type {
  SnapshotEvent,
  SnapshotEventData,
  SnapshotEventType,
  SnapshotRole,
} from '../../src/machines/snapshot/events.ts';
import type { SnapshotContext, SnapshotStateValue } from '../../src/machines/snapshot/state.ts';

export const roles = Object.keys(snapshotMachines) as readonly SnapshotRole[];

export const eventTypes = Object.keys(eventVersions).filter((type) =>
  type.startsWith('Snapshot'),
) as readonly SnapshotEventType[];

/** The id of the operation that the contexts below have in flight. */
export const currentOperationId = 2;

/** Contexts by name: no event yet, nothing in flight, a commit, a removal. */
export const contexts: Readonly<Record<string, SnapshotContext>> = {
  absent: emptySnapshotContext,
  idle: { ...emptySnapshotContext, snapshotId: 1, key: 'a', labels: { old: '1' } },
  committing: {
    ...emptySnapshotContext,
    snapshotId: 1,
    key: 'a',
    operation: {
      operationId: currentOperationId,
      attemptCount: 1,
      commit: { name: 'name', labels: { fresh: '1' }, parent: 'base', parentId: 7 },
    },
  },
  removing: {
    ...emptySnapshotContext,
    snapshotId: 1,
    key: 'a',
    operation: { operationId: currentOperationId, attemptCount: 3, commit: null },
  },
};

function dataOf(role: SnapshotRole, operationId: number): SnapshotEventData {
  return {
    SnapshotPrepared: preparedData(1, { role, key: 'a', labels: { x: '1' } }),
    SnapshotPrepareFailed: { snapshotId: 1, role, key: 'a', parent: '', failure },
    SnapshotCommitStarted: { name: 'name', labels: { y: '2' }, parent: 'base', parentId: 7 },
    SnapshotCommitted: { operationId, sizeBytes: 4096, inodeCount: 2, block: null },
    SnapshotCommitFailed: { operationId, failure },
    SnapshotLabelsUpdated: { labels: { z: '3' } },
    SnapshotRemoveDeferred: {},
    SnapshotRemoveStarted: {},
    SnapshotRemoved: { operationId },
    SnapshotRemoveFailed: { operationId, failure },
  };
}

/** One event of a type; `operationId` matters for outcomes alone. */
export function eventOf(
  role: SnapshotRole,
  type: SnapshotEventType,
  operationId = currentOperationId,
): SnapshotEvent {
  return {
    type,
    data: dataOf(role, operationId)[type],
    globalSeq: 5,
    stream: 'snapshot-1',
    revision: 5,
    schemaVersion: 1,
    timeUs: 5000,
    cause: { kind: 'rpc' },
  } as SnapshotEvent;
}

/** Every combination of the regions' states. */
export function valuesOf(role: SnapshotRole): readonly SnapshotStateValue[] {
  const { lifecycle = [], backing = [] } = snapshotCharts[role].regions;
  return lifecycle.flatMap((one) =>
    backing.map((other) => ({ lifecycle: one, backing: other }) as SnapshotStateValue),
  );
}

/** The next value and context, undefined for an illegal event, or the invariant that it breaks. */
export type Answer =
  | { readonly value: SnapshotStateValue; readonly context: SnapshotContext }
  | { readonly broken: string }
  | undefined;

const answerOf = (ask: () => Answer): Answer => {
  try {
    return ask();
  } catch (error) {
    return { broken: error instanceof Error ? error.message : String(error) };
  }
};

export function askTable(
  role: SnapshotRole,
  value: SnapshotStateValue,
  { context, event }: { readonly context: SnapshotContext; readonly event: SnapshotEvent },
): Answer {
  const chart = snapshotCharts[role];
  const can = chart.can(value, context, event);
  const answer = answerOf(() => chart.step(value, context, event));
  if (can !== (answer !== undefined)) throw new Error(`can and step differ on ${event.type}`);
  return answer;
}

export function askXstate(
  role: SnapshotRole,
  value: SnapshotStateValue,
  { context, event }: { readonly context: SnapshotContext; readonly event: SnapshotEvent },
): Answer {
  const machine: AnyStateMachine = snapshotMachines[role];
  const snapshot = machine.resolveState({ value: { ...value }, context });
  if (!snapshot.can(event)) return undefined;
  return answerOf(() => {
    const [next] = transition(machine, snapshot, event);
    if (next.status === 'error') throw next.error;
    return {
      value: next.value as SnapshotStateValue,
      context: next.context as SnapshotContext,
    };
  });
}
