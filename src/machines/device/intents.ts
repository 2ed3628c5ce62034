// What the world still owes a device, from its state alone: the same answer on the normal path and
// after a crash. Every in-flight state has exactly one intent, every other state none.
import { invariant } from '../kernel/invariant.ts';
import type { DevicePlan } from './events.ts';
import type { DeviceState } from './state.ts';

interface Attempt {
  readonly deviceId: number;
  readonly operationId: number;
  readonly attemptCount: number;
}

/** An effect to carry out; its outcome comes back with the operation's id. */
export type DeviceIntent = Attempt &
  (
    | { readonly kind: 'attachDevice'; readonly plan: DevicePlan }
    | { readonly kind: 'formatDevice'; readonly plan: DevicePlan; readonly path: string }
    | { readonly kind: 'mountDevice'; readonly plan: DevicePlan; readonly path: string }
    | { readonly kind: 'unmountDevice' }
    | { readonly kind: 'detachDevice' }
    /** Nothing but time has to pass. */
    | { readonly kind: 'awaitLinger'; readonly untilUs: number }
    | { readonly kind: 'awaitRetry' }
  );

export function deviceIntentOf({ value, context }: DeviceState): DeviceIntent | undefined {
  const { operation, deviceId, plan, path, lingerUntilUs } = context;
  if (operation === null) return undefined;
  const attempt = { deviceId, ...operation };
  switch (value.attachment) {
    case 'attaching':
      return { kind: 'attachDevice', ...attempt, plan: known(plan) };
    case 'formatting':
      return { kind: 'formatDevice', ...attempt, plan: known(plan), path: known(path) };
    case 'mounting':
      return { kind: 'mountDevice', ...attempt, plan: known(plan), path: known(path) };
    case 'unmounting':
      return { kind: 'unmountDevice', ...attempt };
    case 'detaching':
      return { kind: 'detachDevice', ...attempt };
    case 'lingering':
      return { kind: 'awaitLinger', ...attempt, untilUs: known(lingerUntilUs) };
    case 'failed':
      return { kind: 'awaitRetry', ...attempt };
    default:
      return undefined;
  }
}

function known<Value>(value: Value | null): Value {
  invariant(value !== null, 'the state of a device in flight holds what its effect needs');
  return value;
}
