// The golden edges of a device's machine: which event leads from which state to which, over every
// state that can be reached. Drawn from the compiled table and from xstate, which must agree on
// every state and event. VARVE_REWRITE=1 writes the file anew; commit that only if every changed
// line is meant.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { transition, type AnyStateMachine } from 'xstate';
import { deviceEventVersions } from '../../../src/machines/device/events.ts';
import { deviceChart, deviceMachine } from '../../../src/machines/device/machine.ts';
import type {
  DeviceEvent,
  DeviceEventData,
  DeviceEventType,
} from '../../../src/machines/device/events.ts';
import type { DeviceState } from '../../../src/machines/device/state.ts';
import { deviceId, exploreAll, failure, plans } from './exploration.ts';

const golden = new URL('legality.txt', import.meta.url);
const types = Object.keys(deviceEventVersions) as readonly DeviceEventType[];

/** Events of a type that may meet a state: of the operation in flight and of an earlier one. */
function eventsOf(type: DeviceEventType, state: DeviceState): readonly DeviceEvent[] {
  const current = state.context.operation?.operationId ?? 1;
  const plan = plans['newDirectory'] ?? assert.fail('there is such a plan');
  const data = (operationId: number, snapshotId: number): DeviceEventData => ({
    DeviceLeased: { deviceId, snapshotId, purpose: 'container' },
    DeviceReleased: { snapshotId },
    DeviceAttachStarted: { plan },
    DeviceAttached: { operationId, path: '/dev/loop1', sizeBytes: 4096, transport: 'fuse' },
    DeviceFormatted: { operationId },
    DeviceMounted: { operationId },
    DeviceAttachFailed: { operationId, failure },
    DeviceLingerStarted: { untilUs: 5 },
    DeviceKept: {},
    DeviceDetachStarted: {},
    DeviceUnmounted: { operationId },
    DeviceDetached: { operationId },
    DeviceDetachFailed: { operationId, failure },
    DeviceLost: { reason: 'rebooted' },
  });
  return [current, current - 1].flatMap((operationId) =>
    [11, 12, 13].map((snapshotId) => {
      const revision = state.revision + 1;
      const envelope = { globalSeq: 9, stream: `device-${deviceId}`, revision, schemaVersion: 1 };
      const event = { type, data: data(operationId, snapshotId)[type], ...envelope };
      return { ...event, timeUs: 9, cause: { kind: 'rpc' } } as DeviceEvent;
    }),
  );
}

const states = Object.values(plans).flatMap((plan) =>
  [true, false].flatMap((autoRemoveDev) =>
    exploreAll(plan, { autoRemoveDev, lingerMs: 1, nowUs: 1 }),
  ),
);

type Next = { readonly value: unknown; readonly context: unknown } | undefined;
type Ask = (state: DeviceState, event: DeviceEvent) => Next;

const askTable: Ask = ({ value, context }, event) => deviceChart.step(value, context, event);

const askXstate: Ask = ({ value, context }, event) => {
  const machine = deviceMachine as AnyStateMachine;
  const snapshot = machine.resolveState({ value: { ...value }, context });
  if (!snapshot.can(event)) return undefined;
  const [next] = transition(machine, snapshot, event);
  return { value: next.value, context: next.context };
};

function isOfEarlierAttempt({ context }: DeviceState, { data }: DeviceEvent): boolean {
  const { operationId } = data as { readonly operationId?: number };
  return operationId !== undefined && operationId !== context.operation?.operationId;
}

function edges(ask: Ask): string {
  const found = new Set<string>();
  for (const state of states) {
    for (const type of types) {
      for (const event of eventsOf(type, state)) {
        const next = ask(state, event);
        if (next === undefined) continue;
        const { attachment } = next.value as DeviceState['value'];
        const target = attachment === state.value.attachment ? 'stays' : attachment;
        const isLate = isOfEarlierAttempt(state, event) ? ' of an earlier attempt' : '';
        found.add(`${state.value.attachment} ${type}${isLate} -> ${target}`);
      }
    }
  }
  return `${['Legal events of a device, by state.', '', ...[...found].sort()].join('\n')}\n`;
}

test('the edges of the table are the golden ones', () => {
  const drawn = edges(askTable);
  if (process.env['VARVE_REWRITE'] === '1') writeFileSync(golden, drawn);
  assert.equal(drawn, readFileSync(golden, 'utf8'), 'see VARVE_REWRITE in this file');
});

test('table and xstate agree on every state that can be reached and every event', () => {
  let comparedCount = 0;
  for (const state of states) {
    for (const type of types) {
      for (const event of eventsOf(type, state)) {
        assert.deepEqual(
          askTable(state, event),
          askXstate(state, event),
          `${state.value.attachment} ${type} ${JSON.stringify(event.data)}`,
        );
        comparedCount += 1;
      }
    }
  }
  assert.ok(comparedCount > 10_000, `only ${comparedCount} were compared`);
});
