// The machine of a device's life, from the first lease to the last: the only place that says which
// event is legal in which state.
import { assign, setup } from 'xstate';
import { compileStatechart, type Statechart } from '../kernel/statechart.ts';
import { deviceAssigns, deviceGuards, emptyDeviceContext } from './evolution.ts';
import type { DeviceEvent } from './events.ts';
import type { DeviceContext, DeviceStateValue } from './state.ts';

type Arguments = { readonly context: DeviceContext; readonly event: DeviceEvent };

const asGuard =
  (guard: (context: DeviceContext, event: DeviceEvent) => boolean) =>
  ({ context, event }: Arguments) =>
    guard(context, event);

const asAssign = (evolve: (context: DeviceContext, event: DeviceEvent) => DeviceContext) =>
  assign<DeviceContext, DeviceEvent, undefined, DeviceEvent, never>(
    ({ context, event }: Arguments) => evolve(context, event),
  );

const mapped = <Name extends string, From, To>(
  named: Readonly<Record<Name, From>>,
  map: (from: From) => To,
): Readonly<Record<Name, To>> =>
  Object.fromEntries(
    Object.entries(named).map(([name, one]) => [name, map(one as From)]),
  ) as Record<Name, To>;

const deviceSetup = setup({
  types: {
    context: {} as DeviceContext,
    events: {} as DeviceEvent,
    tags: {} as 'inFlight',
  },
  guards: mapped(deviceGuards, asGuard),
  actions: mapped(deviceAssigns, asAssign),
});

// Leases come and go while work is under way; what they mean for it shows at its next outcome.
const leased = {
  DeviceLeased: { guard: 'isNewLease', actions: 'recordLease' },
  DeviceReleased: { guard: 'isHeld', actions: 'recordRelease' },
} as const;

const undone = <Target extends string>(target: Target) =>
  ({ DeviceAttachFailed: { target, guard: 'isCurrent', actions: 'beginUndo' } }) as const;

// Nobody leases it: it may go at once, whatever it waits for.
const detachable = {
  DeviceDetachStarted: [
    { target: 'unmounting', guard: 'isIdleAndMounts', actions: 'beginDetach' },
    { target: 'detaching', guard: 'isIdle', actions: 'beginDetach' },
  ],
} as const;

const losable = { DeviceLost: { target: 'lost', actions: 'recordLost' } } as const;

const takenUp = {
  DeviceLeased: {
    target: 'ready',
    guard: 'isNewLease',
    actions: ['endWaiting', 'recordLease'],
  },
} as const;

const attachStarted = {
  DeviceAttachStarted: { target: 'attaching', guard: 'isLeased', actions: 'beginAttach' },
} as const;

/** The xstate machine: the source of table, diagram and legality matrix. */
export const deviceMachine = deviceSetup.createMachine({
  id: 'device',
  type: 'parallel',
  context: emptyDeviceContext,
  states: {
    attachment: {
      initial: 'absent',
      states: {
        absent: { on: { ...leased, ...attachStarted } },
        attaching: {
          tags: 'inFlight',
          on: {
            ...leased,
            DeviceAttached: [
              { target: 'formatting', guard: 'isCurrentAndFormats', actions: 'recordAttached' },
              { target: 'mounting', guard: 'isCurrentAndMounts', actions: 'recordAttached' },
              { target: 'ready', guard: 'isCurrent', actions: ['recordAttached', 'becomeReady'] },
            ],
            ...undone('detaching'),
          },
        },
        formatting: {
          tags: 'inFlight',
          on: {
            ...leased,
            DeviceFormatted: [
              { target: 'mounting', guard: 'isCurrentAndMounts', actions: 'recordFormatted' },
              { target: 'ready', guard: 'isCurrent', actions: ['recordFormatted', 'becomeReady'] },
            ],
            ...undone('detaching'),
          },
        },
        mounting: {
          tags: 'inFlight',
          on: {
            ...leased,
            DeviceMounted: { target: 'ready', guard: 'isCurrent', actions: 'becomeReady' },
            ...undone('unmounting'),
          },
        },
        ready: {
          on: {
            ...leased,
            ...detachable,
            ...losable,
            DeviceLingerStarted: { target: 'lingering', guard: 'isIdle', actions: 'beginLinger' },
            DeviceKept: { target: 'kept', guard: 'isIdle' },
          },
        },
        lingering: { tags: 'inFlight', on: { ...takenUp, ...detachable, ...losable } },
        kept: {
          on: {
            ...takenUp,
            ...detachable,
            ...losable,
            DeviceLingerStarted: { target: 'lingering', actions: 'beginLinger' },
          },
        },
        unmounting: {
          tags: 'inFlight',
          on: {
            ...leased,
            ...losable,
            DeviceUnmounted: [
              { target: 'mounting', guard: 'isCurrentAndWanted', actions: 'goOn' },
              { target: 'detaching', guard: 'isCurrent', actions: 'goOn' },
            ],
            DeviceDetachFailed: [
              { target: 'mounting', guard: 'isCurrentAndWanted', actions: 'turnRound' },
              { guard: 'isCurrent', actions: 'retryDetach' },
            ],
          },
        },
        detaching: {
          tags: 'inFlight',
          on: {
            ...leased,
            DeviceDetached: [
              { target: 'attaching', guard: 'isCurrentAndWanted', actions: 'attachAgain' },
              { target: 'failed', guard: 'isCurrentAndLeased', actions: 'awaitRetry' },
              { target: 'absent', guard: 'isCurrent', actions: 'recordGone' },
            ],
            // It may still be there: attaching finds out.
            DeviceDetachFailed: [
              { target: 'attaching', guard: 'isCurrentAndWanted', actions: 'turnRound' },
              { guard: 'isCurrent', actions: 'retryDetach' },
            ],
          },
        },
        failed: {
          tags: 'inFlight',
          on: {
            DeviceLeased: leased.DeviceLeased,
            DeviceReleased: [
              {
                target: 'absent',
                guard: 'isLastHeld',
                actions: ['recordRelease', 'giveUp'],
              },
              leased.DeviceReleased,
            ],
            ...attachStarted,
          },
        },
        lost: { on: { ...leased, ...attachStarted, ...detachable } },
      },
    },
  },
});

export type DeviceChart = Statechart<DeviceStateValue, DeviceContext, DeviceEvent>;

/** The same machine as a table, which deciding and folding run on. */
export const deviceChart: DeviceChart = compileStatechart(
  deviceMachine,
  { guards: deviceGuards, assigns: deviceAssigns },
  emptyDeviceContext,
);
