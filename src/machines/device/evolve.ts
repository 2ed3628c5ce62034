// Folds one event into the state of its device. An event is a fact: one that is illegal in the
// state it meets means a damaged log or a wrong program, so it throws.
import { invariant } from '../kernel/invariant.ts';
import { emptyDeviceContext } from './evolution.ts';
import { deviceChart } from './machine.ts';
import type { DeviceEvent } from './events.ts';
import type { DeviceState } from './state.ts';

/** The state of a device before its first event. */
export const unknownDevice: DeviceState = {
  value: { attachment: 'absent' },
  context: emptyDeviceContext,
  revision: 0,
  lastSeq: 0,
};

/** Whether the machine takes the event now. */
export const isLegalForDevice = (state: DeviceState, event: DeviceEvent): boolean =>
  deviceChart.can(state.value, state.context, event);

/** Whether an effect is owed: the machine says so by a tag. */
export const isDeviceInFlight = (state: DeviceState): boolean =>
  deviceChart.hasTag(state.value, 'inFlight');

/** The next state; throws InvariantViolation for an illegal or misnumbered event. */
export function evolveDevice(state: DeviceState, event: DeviceEvent): DeviceState {
  invariant(
    event.revision === state.revision + 1,
    `${event.stream}: revision ${event.revision} follows ${state.revision}`,
  );
  const next = deviceChart.step(state.value, state.context, event);
  invariant(
    next !== undefined,
    `${event.stream}: ${event.type} (event ${event.globalSeq}) is illegal in ${state.value.attachment}`,
  );
  return { ...next, revision: event.revision, lastSeq: event.globalSeq };
}
