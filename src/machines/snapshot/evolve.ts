// Folds one event into the state of its snapshot. An event is a fact: one that is illegal in the
// state it meets means a damaged log or a wrong program, so it throws.
import { invariant } from '../kernel/invariant.ts';
import { emptySnapshotContext } from './evolution.ts';
import { snapshotCharts } from './machine.ts';
import type { SnapshotEvent } from './events.ts';
import type { SnapshotState } from './state.ts';

/** The state of a snapshot before its first event. */
export const absentSnapshot: SnapshotState = {
  value: { lifecycle: 'absent', backing: 'unassigned' },
  context: emptySnapshotContext,
  revision: 0,
  lastSeq: 0,
};

const chartFor = (state: SnapshotState, event: SnapshotEvent) => {
  const isFirst = event.type === 'SnapshotPrepared' || event.type === 'SnapshotPrepareFailed';
  return snapshotCharts[isFirst ? event.data.role : state.context.role];
};

/** Whether the machine of this snapshot takes the event now. */
export function isLegal(state: SnapshotState, event: SnapshotEvent): boolean {
  return chartFor(state, event).can(state.value, state.context, event);
}

/** Whether an effect is owed: the machine says so by a tag. */
export function isInFlight(state: SnapshotState): boolean {
  return snapshotCharts[state.context.role].hasTag(state.value, 'inFlight');
}

/** The next state; throws InvariantViolation for an illegal or misnumbered event. */
export function evolveSnapshot(state: SnapshotState, event: SnapshotEvent): SnapshotState {
  invariant(
    event.revision === state.revision + 1,
    `${event.stream}: revision ${event.revision} follows ${state.revision}`,
  );
  const next = chartFor(state, event).step(state.value, state.context, event);
  invariant(
    next !== undefined,
    `${event.stream}: ${event.type} (event ${event.globalSeq}) is illegal in ${state.value.lifecycle}`,
  );
  return {
    value: next.value,
    context: next.context,
    revision: event.revision,
    lastSeq: event.globalSeq,
  };
}
