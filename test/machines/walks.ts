// Walks that xstate/graph finds: a shortest one to every reachable state of a machine, and from
// there over every edge. Folded with real numbers and operation ids, as the log would hold them.
import { getShortestPaths } from 'xstate/graph';
import { absentSnapshot, evolveSnapshot } from '../../src/machines/snapshot/evolve.ts';
import { snapshotMachines } from '../../src/machines/snapshot/machine.ts';
import { currentOperationId, eventOf, eventTypes } from './chart-space.ts';
import type {
  SnapshotEvent,
  SnapshotEventType,
  SnapshotRole,
} from '../../src/machines/snapshot/events.ts';
import type { SnapshotState } from '../../src/machines/snapshot/state.ts';

export interface Walk {
  readonly types: readonly SnapshotEventType[];
  /** What xstate/graph says the walk ends in. */
  readonly expected: unknown;
  readonly state: SnapshotState;
}

/**
 * Folds a walk; an outcome belongs to the operation in flight. Throws where an event is illegal.
 */
export function foldWalk(role: SnapshotRole, types: readonly SnapshotEventType[]): SnapshotState {
  return types.reduce((state, type, index) => {
    const operationId = state.context.operation?.operationId ?? 0;
    const position = { revision: index + 1, globalSeq: index + 1, timeUs: index + 1 };
    const event = { ...eventOf(role, type, operationId), ...position } as SnapshotEvent;
    return evolveSnapshot(state, event);
  }, absentSnapshot);
}

/** A shortest walk to every reachable state, and one more step over each of its edges. */
export function walksOf(role: SnapshotRole): readonly Walk[] {
  const machine = snapshotMachines[role];
  // One revision for all: then every outcome belongs to the operation in flight.
  const events = eventTypes.map((type) => ({
    ...eventOf(role, type),
    revision: currentOperationId,
  })) as SnapshotEvent[];
  const paths = getShortestPaths(machine, {
    events,
    serializeState: (snapshot) => JSON.stringify(snapshot.value),
    // Attempts are counted in the context, which the walk leaves aside.
    limit: 100_000,
  });
  return paths.flatMap((path) => {
    const types = path.steps
      .map((step) => step.event.type as string)
      .filter((type) => !type.startsWith('xstate.')) as SnapshotEventType[];
    const here = { types, expected: path.state.value, state: foldWalk(role, types) };
    const onwards = events
      .filter((event) => path.state.can(event))
      .map((event) => {
        const longer = [...types, event.type];
        return { types: longer, expected: undefined, state: foldWalk(role, longer) };
      });
    return [here, ...onwards];
  });
}
