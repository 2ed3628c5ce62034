// How each event changes a device's context, and the guards of its machine. Pure and total over
// legal histories; named here so that the xstate machine and the compiled table share them.
import { invariant } from '../kernel/invariant.ts';
import type { DeviceEvent, DeviceEventType } from './events.ts';
import type { DeviceContext, Lease } from './state.ts';

/** The context before the first event. */
export const emptyDeviceContext: DeviceContext = {
  deviceId: 0,
  leases: [],
  plan: null,
  path: null,
  transport: null,
  sizeBytes: 0,
  servedContainer: false,
  operation: null,
  isUndoing: false,
  failureCount: 0,
  lingerUntilUs: null,
  lastFailure: null,
};

type EventOf<Type extends DeviceEventType> = Extract<DeviceEvent, { type: Type }>;

function expect<Type extends DeviceEventType>(event: DeviceEvent, type: Type): EventOf<Type> {
  invariant(event.type === type, `${event.type} met the evolution of ${type}`);
  return event as EventOf<Type>;
}

const isCurrent = ({ operation }: DeviceContext, event: DeviceEvent): boolean =>
  operation !== null &&
  operation.operationId === (event.data as { readonly operationId?: number }).operationId;

const isLeased = ({ leases }: DeviceContext): boolean => leases.length > 0;

const formats = ({ plan }: DeviceContext): boolean => (plan?.formatArguments ?? null) !== null;

const mounts = ({ plan }: DeviceContext): boolean => plan !== null && plan.mount !== 'none';

const isWanted = (context: DeviceContext): boolean => isLeased(context) && !context.isUndoing;

const holds = ({ leases }: DeviceContext, snapshotId: number): boolean =>
  leases.some((lease) => lease.snapshotId === snapshotId);

type Guard = (context: DeviceContext, event: DeviceEvent) => boolean;

/** Named guards. An outcome counts only for the operation that is in flight now. */
export const deviceGuards = {
  isCurrent,
  isCurrentAndFormats: (context, event) => isCurrent(context, event) && formats(context),
  isCurrentAndMounts: (context, event) => isCurrent(context, event) && mounts(context),
  isCurrentAndWanted: (context, event) => isCurrent(context, event) && isWanted(context),
  isCurrentAndLeased: (context, event) => isCurrent(context, event) && isLeased(context),
  isLeased,
  isIdle: (context) => !isLeased(context),
  isIdleAndMounts: (context) => !isLeased(context) && mounts(context),
  /** The first event names the device; a snapshot has one lease of it at most. */
  isNewLease(context, any) {
    const { deviceId, snapshotId } = expect(any, 'DeviceLeased').data;
    const isSame = context.deviceId === 0 || context.deviceId === deviceId;
    return isSame && !holds(context, snapshotId);
  },
  isHeld: (context, any) => holds(context, expect(any, 'DeviceReleased').data.snapshotId),
  isLastHeld: (context, any) =>
    context.leases.length === 1 && holds(context, expect(any, 'DeviceReleased').data.snapshotId),
} as const satisfies Readonly<Record<string, Guard>>;

/** The next step of the same work: its operation begins with the event that ended the last one. */
const nextStep = (event: DeviceEvent): DeviceContext['operation'] => ({
  operationId: event.revision,
  attemptCount: 1,
});

const withoutLease = (leases: readonly Lease[], snapshotId: number): readonly Lease[] =>
  leases.filter((lease) => lease.snapshotId !== snapshotId);

type Assign = (context: DeviceContext, event: DeviceEvent) => DeviceContext;

/** Named assigns. */
export const deviceAssigns = {
  recordLease(context, any) {
    const { deviceId, snapshotId, purpose } = expect(any, 'DeviceLeased').data;
    const leases = [...context.leases, { snapshotId, purpose }];
    leases.sort((a, b) => a.snapshotId - b.snapshotId);
    return {
      ...context,
      deviceId,
      leases,
      servedContainer: context.servedContainer || purpose === 'container',
      lingerUntilUs: null,
    };
  },
  /** A lease taken on a device that lingers ends the waiting. */
  endWaiting: (context) => ({ ...context, operation: null, lingerUntilUs: null }),
  recordRelease(context, any) {
    const { snapshotId } = expect(any, 'DeviceReleased').data;
    return { ...context, leases: withoutLease(context.leases, snapshotId) };
  },
  /** Nobody waits for what failed any more. */
  giveUp: (context) => ({
    ...context,
    operation: null,
    failureCount: 0,
    servedContainer: false,
  }),
  beginAttach(context, any) {
    const { plan } = expect(any, 'DeviceAttachStarted').data;
    return { ...context, plan, operation: nextStep(any), isUndoing: false };
  },
  recordAttached(context, any) {
    const { path, sizeBytes, transport } = expect(any, 'DeviceAttached').data;
    return { ...context, path, sizeBytes, transport, operation: nextStep(any) };
  },
  // What has a file system never gets another one.
  recordFormatted(context, any) {
    const { plan } = context;
    invariant(plan !== null, 'a device that is formatted has a plan');
    return { ...context, plan: { ...plan, formatArguments: null }, operation: nextStep(any) };
  },
  becomeReady: (context) => ({
    ...context,
    operation: null,
    failureCount: 0,
    lastFailure: null,
  }),
  beginUndo(context, any) {
    const { failure } = expect(any, 'DeviceAttachFailed').data;
    return {
      ...context,
      operation: nextStep(any),
      isUndoing: true,
      failureCount: context.failureCount + 1,
      lastFailure: failure,
    };
  },
  beginLinger(context, any) {
    const { untilUs } = expect(any, 'DeviceLingerStarted').data;
    return { ...context, operation: nextStep(any), lingerUntilUs: untilUs };
  },
  beginDetach: (context, any) => ({
    ...context,
    operation: nextStep(any),
    lingerUntilUs: null,
  }),
  goOn: (context, any) => ({ ...context, operation: nextStep(any) }),
  retryDetach(context, any) {
    const { failure } = expect(any, 'DeviceDetachFailed').data;
    const attemptCount = (context.operation?.attemptCount ?? 0) + 1;
    return {
      ...context,
      operation: { operationId: any.revision, attemptCount },
      lastFailure: failure,
    };
  },
  turnRound(context, any) {
    const { failure } = expect(any, 'DeviceDetachFailed').data;
    return { ...context, operation: nextStep(any), lastFailure: failure };
  },
  recordGone: (context) => ({
    ...context,
    path: null,
    transport: null,
    sizeBytes: 0,
    operation: null,
    isUndoing: false,
    servedContainer: context.leases.some(({ purpose }) => purpose === 'container'),
  }),
  attachAgain: (context, any) => ({
    ...context,
    path: null,
    transport: null,
    sizeBytes: 0,
    operation: nextStep(any),
  }),
  awaitRetry: (context, any) => ({
    ...context,
    path: null,
    transport: null,
    sizeBytes: 0,
    isUndoing: false,
    operation: { operationId: any.revision, attemptCount: context.failureCount + 1 },
  }),
  recordLost: (context) => ({
    ...context,
    transport: null,
    operation: null,
    lingerUntilUs: null,
  }),
} as const satisfies Readonly<Record<string, Assign>>;
