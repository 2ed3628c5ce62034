// Every state that a device can reach, found by trying every decision in every state. Positions and
// counts are folded together, so that what is left is finite: what is true of each state found is
// true of every history.
import {
  decideDetach,
  decideDeviceOutcome,
  decideLease,
  decideLost,
  decideRelease,
  type DeviceOutcome,
  type DevicePolicy,
  type NewDeviceEvent,
} from '../../../src/machines/device/decide.ts';
import { evolveDevice, unknownDevice } from '../../../src/machines/device/evolve.ts';
import { deviceIntentOf, type DeviceIntent } from '../../../src/machines/device/intents.ts';
import type { DeviceEvent, DevicePlan } from '../../../src/machines/device/events.ts';
import type { DeviceState } from '../../../src/machines/device/state.ts';

export const deviceId = 7;

export const failure = { step: 'open', code: 'EIO', message: 'the layer cannot be read' } as const;

export const plans: Readonly<Record<string, DevicePlan>> = {
  readOnly: {
    access: 'readOnly',
    writableLayer: null,
    mount: 'readOnly',
    fileSystem: 'ext4',
    mountOptions: '',
    formatArguments: null,
  },
  newDirectory: {
    access: 'writable',
    writableLayer: { layerType: 'append', sizeGib: 64, parentId: null },
    mount: 'readWrite',
    fileSystem: 'xfs',
    mountOptions: 'nouuid',
    formatArguments: ['-f'],
  },
  clientMounts: {
    access: 'writable',
    writableLayer: { layerType: 'append', sizeGib: 64, parentId: null },
    mount: 'none',
    fileSystem: 'ext4',
    mountOptions: '',
    formatArguments: null,
  },
  clientMountsNew: {
    access: 'writable',
    writableLayer: { layerType: 'append', sizeGib: 64, parentId: null },
    mount: 'none',
    fileSystem: 'ext4',
    mountOptions: '',
    formatArguments: ['-F'],
  },
};

export const successes: Readonly<Record<DeviceIntent['kind'], DeviceOutcome>> = {
  attachDevice: { kind: 'attached', path: '/dev/loop1', sizeBytes: 1 << 20, transport: 'fuse' },
  formatDevice: { kind: 'formatted' },
  mountDevice: { kind: 'mounted' },
  unmountDevice: { kind: 'unmounted' },
  detachDevice: { kind: 'detached' },
  awaitLinger: { kind: 'waited' },
  awaitRetry: { kind: 'waited' },
};

export interface Step {
  readonly name: string;
  readonly events: readonly NewDeviceEvent[];
}

export function folded(state: DeviceState, events: readonly NewDeviceEvent[]): DeviceState {
  return events.reduce((before, event) => {
    const position = before.revision + 1;
    const recorded: DeviceEvent = {
      ...event,
      globalSeq: position,
      stream: `device-${deviceId}`,
      revision: position,
      schemaVersion: 1,
      timeUs: position,
      cause: { kind: 'rpc' },
    };
    return evolveDevice(before, recorded);
  }, state);
}

/** Everything that may be decided in a state; `snapshots` are those that may lease the device. */
export function stepsFrom(
  state: DeviceState,
  plan: DevicePlan,
  policy: DevicePolicy,
): readonly Step[] {
  const steps: Step[] = [];
  for (const [snapshotId, purpose] of [
    [11, 'container'],
    [12, 'view'],
  ] as const) {
    const leased = decideLease({ deviceId, snapshotId, purpose, plan }, state);
    if (leased.ok) steps.push({ name: `lease by ${purpose}`, events: leased.value });
    const released = decideRelease(snapshotId, state, policy);
    steps.push({ name: `release by ${purpose}`, events: released });
  }
  steps.push({ name: 'detach', events: decideDetach(state) });
  steps.push({ name: 'lost', events: decideLost('rebooted', state) });
  const intent = deviceIntentOf(state);
  if (intent !== undefined) {
    const { operationId, kind } = intent;
    const outcomes = [
      successes[kind],
      ...(isTimer(kind) ? [] : [{ kind: 'failed', failure } as const]),
      ...(kind === 'unmountDevice' ? [{ kind: 'lost', reason: 'gone', failure } as const] : []),
    ];
    for (const outcome of outcomes) {
      const events = decideDeviceOutcome(state, operationId, outcome, policy);
      steps.push({ name: `${kind} ${outcome.kind}`, events });
    }
  }
  return steps.filter(({ events }) => events.length > 0);
}

export const isTimer = (kind: DeviceIntent['kind']): boolean =>
  kind === 'awaitLinger' || kind === 'awaitRetry';

/** What tells two states apart: all but positions, and counts beyond two. */
function identity({ value, context }: DeviceState): string {
  const { operation, failureCount, lingerUntilUs, ...rest } = context;
  return JSON.stringify({
    value,
    ...rest,
    attempts: operation === null ? null : Math.min(operation.attemptCount, 2),
    failures: Math.min(failureCount, 2),
    lingers: lingerUntilUs !== null,
  });
}

export interface Found {
  readonly state: DeviceState;
  /** One shortest way to it. */
  readonly path: readonly Step[];
}

/** Every state that can be reached, the first one included. */
export function explore(plan: DevicePlan, policy: DevicePolicy): readonly Found[] {
  const found = new Map<string, Found>();
  const queue: Found[] = [{ state: unknownDevice, path: [] }];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const key = identity(next.state);
    if (found.has(key)) continue;
    found.set(key, next);
    for (const step of stepsFrom(next.state, plan, policy)) {
      queue.push({ state: folded(next.state, step.events), path: [...next.path, step] });
    }
  }
  return [...found.values()];
}

/** Every state that can be reached, and those in the midst of a decision. */
export function exploreAll(plan: DevicePlan, policy: DevicePolicy): readonly DeviceState[] {
  const all = new Map<string, DeviceState>();
  for (const { state } of explore(plan, policy)) {
    all.set(identity(state), state);
    for (const { events } of stepsFrom(state, plan, policy)) {
      for (let count = 1; count < events.length; count += 1) {
        const passed = folded(state, events.slice(0, count));
        all.set(identity(passed), passed);
      }
    }
  }
  return [...all.values()];
}
