// The decisions about a device: command + state → events, or a rejection. Pure and total. Legality
// is the machine's; what is wanted of the device beside that (keep it, let it linger) is policy.
import { accepted, rejected, type Result } from '../kernel/rejection.ts';
import type { EffectFailure, NewEvent } from '../kernel/envelope.ts';
import type {
  DeviceEvent,
  DeviceEventData,
  DeviceEventType,
  DevicePlan,
  LeasePurpose,
} from './events.ts';
import { evolveDevice, isLegalForDevice } from './evolve.ts';
import { isLeasedBy, isLeasedByOperator, isUsable, type DeviceState } from './state.ts';

/** An event that decide produced: not yet numbered. */
export type NewDeviceEvent = {
  [Type in DeviceEventType]: NewEvent<Type, DeviceEventData[Type]>;
}[DeviceEventType];

/** What becomes of a device that nobody leases. */
export interface DevicePolicy {
  /** Whether one that has served a container goes as well. */
  readonly autoRemoveDev: boolean;
  readonly lingerMs: number;
  readonly nowUs: number;
}

export interface LeaseCommand {
  readonly deviceId: number;
  readonly snapshotId: number;
  readonly purpose: LeasePurpose;
  /** How it is attached if it is not there. */
  readonly plan: DevicePlan;
}

/** The events that make sure that a snapshot leases the device, and that it is on its way. */
export function decideLease(
  command: LeaseCommand,
  state: DeviceState,
): Result<readonly NewDeviceEvent[]> {
  const { deviceId, snapshotId, purpose, plan } = command;
  const { attachment } = state.value;
  const present = attachment === 'absent' ? null : state.context.plan;
  if (present !== null && present.access !== plan.access) {
    const words = { readOnly: 'for reading alone', writable: 'to be written' };
    return rejected(
      'failed_precondition',
      `the device of snapshot #${deviceId} is attached ${words[present.access]}, and is needed ` +
        `${words[plan.access]}: remove what uses it first`,
    );
  }
  const decided = new Decision(state);
  if (!isLeasedBy(state, snapshotId)) {
    decided.add({ type: 'DeviceLeased', data: { deviceId, snapshotId, purpose } });
  }
  // Whatever it was that failed may be mended: who asks anew need not wait for the next attempt.
  if (attachment === 'absent' || attachment === 'failed' || attachment === 'lost') {
    decided.add({ type: 'DeviceAttachStarted', data: { plan: present ?? plan } });
  }
  return accepted(decided.events);
}

/** The events by which a snapshot gives its lease back; none if it has none. */
export function decideRelease(
  snapshotId: number,
  state: DeviceState,
  policy: DevicePolicy,
): readonly NewDeviceEvent[] {
  if (!isLeasedBy(state, snapshotId)) return [];
  const decided = new Decision(state);
  decided.add({ type: 'DeviceReleased', data: { snapshotId } });
  decided.settle(policy);
  return decided.events;
}

/**
 * The same by an operator, who wants it gone: one that nobody else leases goes at once, but for one
 * that is to be kept.
 */
export function decideOperatorRelease(
  snapshotId: number,
  state: DeviceState,
  policy: DevicePolicy,
): readonly NewDeviceEvent[] {
  if (!isLeasedByOperator(state, snapshotId)) return [];
  const decided = new Decision(state);
  decided.add({ type: 'DeviceReleased', data: { snapshotId } });
  decided.settle(policy, 'at once');
  return decided.events;
}

/** Its layer is removed, or wants to be written: it goes at once, if nobody leases it. */
export function decideDetach(state: DeviceState): readonly NewDeviceEvent[] {
  const event: NewDeviceEvent = { type: 'DeviceDetachStarted', data: {} };
  return isLegalForDevice(state, candidate(state, event)) ? [event] : [];
}

/** It is gone, or dead, without our doing: who leases it gets it back. */
export function decideLost(reason: string, state: DeviceState): readonly NewDeviceEvent[] {
  const event: NewDeviceEvent = { type: 'DeviceLost', data: { reason } };
  if (!isLegalForDevice(state, candidate(state, event))) return [];
  const decided = new Decision(state);
  decided.lose(reason);
  return decided.events;
}

export interface RecoveryTruth {
  /** Whether a snapshot still needs its lease. */
  needsLease(snapshotId: number): boolean;
  /** What shows that the device is gone, if it is. */
  readonly lostReason: string | undefined;
}

/** The events that put a device right after a start. */
export function decideRecovery(
  state: DeviceState,
  { needsLease, lostReason }: RecoveryTruth,
  policy: DevicePolicy,
): readonly NewDeviceEvent[] {
  const decided = new Decision(state);
  for (const { snapshotId } of state.context.leases) {
    if (!needsLease(snapshotId)) decided.add({ type: 'DeviceReleased', data: { snapshotId } });
  }
  if (lostReason !== undefined && isUsable(state)) decided.lose(lostReason);
  else decided.settle(policy);
  return decided.events;
}

/** What an effect answered. */
export type DeviceOutcome =
  | {
      readonly kind: 'attached';
      readonly path: string;
      readonly sizeBytes: number;
      readonly transport: string;
    }
  | { readonly kind: 'formatted' | 'mounted' | 'unmounted' | 'detached' }
  /** The time has passed that was to pass. */
  | { readonly kind: 'waited' }
  | { readonly kind: 'failed'; readonly failure: EffectFailure }
  /** It was gone before all was done that had to be. */
  | { readonly kind: 'lost'; readonly reason: string; readonly failure: EffectFailure };

/** The events that record an outcome; none if it belongs to an attempt that is over. */
export function decideDeviceOutcome(
  state: DeviceState,
  operationId: number,
  outcome: DeviceOutcome,
  policy: DevicePolicy,
): readonly NewDeviceEvent[] {
  if (state.context.operation?.operationId !== operationId) return [];
  if (outcome.kind === 'lost') return decideLost(outcome.reason, state);
  const event = outcomeEvent(state, operationId, outcome);
  if (event === undefined || !isLegalForDevice(state, candidate(state, event))) return [];
  const decided = new Decision(state);
  decided.add(event);
  decided.settle(policy);
  return decided.events;
}

function outcomeEvent(
  { value, context }: DeviceState,
  operationId: number,
  outcome: Exclude<DeviceOutcome, { readonly kind: 'lost' }>,
): NewDeviceEvent | undefined {
  switch (outcome.kind) {
    case 'attached': {
      const { path, sizeBytes, transport } = outcome;
      return { type: 'DeviceAttached', data: { operationId, path, sizeBytes, transport } };
    }
    case 'formatted':
      return { type: 'DeviceFormatted', data: { operationId } };
    case 'mounted':
      return { type: 'DeviceMounted', data: { operationId } };
    case 'unmounted':
      return { type: 'DeviceUnmounted', data: { operationId } };
    case 'detached':
      return { type: 'DeviceDetached', data: { operationId } };
    case 'waited': {
      if (value.attachment === 'lingering') return { type: 'DeviceDetachStarted', data: {} };
      const { plan } = context;
      return plan === null ? undefined : { type: 'DeviceAttachStarted', data: { plan } };
    }
    case 'failed': {
      const data = { operationId, failure: outcome.failure };
      const isLeaving = value.attachment === 'unmounting' || value.attachment === 'detaching';
      return isLeaving
        ? { type: 'DeviceDetachFailed', data }
        : { type: 'DeviceAttachFailed', data };
    }
  }
}

/** Events that are decided together, each on the state that the one before leaves. */
class Decision {
  readonly events: NewDeviceEvent[] = [];
  #state: DeviceState;

  constructor(state: DeviceState) {
    this.#state = state;
  }

  add(event: NewDeviceEvent): void {
    this.#state = evolveDevice(this.#state, candidate(this.#state, event));
    this.events.push(event);
  }

  lose(reason: string): void {
    this.add({ type: 'DeviceLost', data: { reason } });
    const { leases, plan } = this.#state.context;
    this.add(
      leases.length > 0 && plan !== null
        ? { type: 'DeviceAttachStarted', data: { plan } }
        : { type: 'DeviceDetachStarted', data: {} },
    );
  }

  /**
   * A device that is ready and that nobody leases is kept, or goes: after it lingered, or now. One
   * that is written is its snapshot's alone and goes now.
   */
  settle({ autoRemoveDev, lingerMs, nowUs }: DevicePolicy, leaves?: 'at once'): void {
    const { value, context } = this.#state;
    // Attaching it again, or detaching it, is recorded with the loss; a repair may not have that.
    if (value.attachment === 'lost' && context.leases.length === 0) {
      this.add({ type: 'DeviceDetachStarted', data: {} });
    }
    // One that was kept for its layer goes when that has gone without it, or keeping ended.
    const isKeptInVain = value.attachment === 'kept' && autoRemoveDev;
    if ((value.attachment !== 'ready' && !isKeptInVain) || context.leases.length > 0) return;
    const isWritten = context.plan?.access === 'writable';
    const isKept = context.servedContainer && !autoRemoveDev && !isWritten;
    if (isKept) this.add({ type: 'DeviceKept', data: {} });
    else if (leaves === 'at once' || isWritten) this.add({ type: 'DeviceDetachStarted', data: {} });
    else this.add({ type: 'DeviceLingerStarted', data: { untilUs: nowUs + lingerMs * 1000 } });
  }
}

// Legality depends on type, data and the next revision only; the rest of the envelope is the log's.
function candidate(state: DeviceState, event: NewDeviceEvent): DeviceEvent {
  return {
    ...event,
    revision: state.revision + 1,
    globalSeq: 0,
    stream: '',
    schemaVersion: 1,
    timeUs: 0,
    cause: { kind: 'effect' },
  };
}
