// Devices beside what the machine shows of them, after a start and from time to time. Pure; what it
// answers is recorded, and carried out like anything else.
import { decideRecovery, type DevicePolicy } from '../machines/device/decide.ts';
import { isDeviceInFlight } from '../machines/device/evolve.ts';
import { deviceStream } from '../machines/device/events.ts';
import {
  isAbsent,
  isLeasedBy,
  isLeasedByOperator,
  type DeviceState,
} from '../machines/device/state.ts';
import type { Projection } from '../machines/projection.ts';
import { kindOf, neededDeviceOf, type SnapshotState } from '../machines/snapshot/state.ts';
import { policyFor } from './devices.ts';
import type { DeviceSighting } from './ports.ts';
import type { Change } from './sequencer.ts';

export interface DeviceTruth {
  /** Every device of ours that the machine shows; undefined if it could not be asked. */
  readonly sightings: readonly DeviceSighting[] | undefined;
  /** Whether the machine was started anew since the log was last written. */
  readonly wasRebooted: boolean;
  /** Whether a snapshot that does not exist is about to: its Prepare is under way. */
  isPreparing(snapshotId: number): boolean;
}

/** What a start does about devices. */
export interface DevicesPlan {
  /** How many devices are known to be attached, or on their way. */
  readonly presentCount: number;
  /** What is recorded: leases that nobody holds, devices that are gone. */
  readonly changes: readonly Change[];
  /** Snapshots that use a device without a lease: what a repair could not save. */
  readonly unleased: readonly SnapshotState[];
  /** Devices that the machine shows and nothing is known of: left by what the log has lost. */
  readonly strays: readonly number[];
  /** Devices whose effect was in flight when the last server ended: it goes on. */
  readonly inFlight: readonly DeviceState[];
}

/** Pure: state × what the machine shows → plan. */
export function planDevices(
  projection: Projection,
  truth: DeviceTruth,
  options: { readonly policy: DevicePolicy; readonly throughSeq: number },
): DevicesPlan {
  const unleased = [...projection.catalog.states.values()].filter((state) =>
    isUnleased(projection, state),
  );
  const wanted = new Set(unleased.map(neededDeviceOf));
  return {
    presentCount: [...projection.devices.values()].filter((state) => !isAbsent(state)).length,
    changes: recoverDevices(projection, truth, options),
    unleased,
    strays: strayDevices(projection, truth.sightings ?? []).filter((id) => !wanted.has(id)),
    inFlight: [...projection.devices.values()].filter(isDeviceInFlight),
  };
}

function isUnleased(projection: Projection, state: SnapshotState): boolean {
  const { snapshotId } = state.context;
  const deviceId = neededDeviceOf(state);
  if (deviceId === null) return false;
  const device = projection.device(deviceId);
  if (device === undefined || !isLeasedBy(device, snapshotId)) return true;
  // Leased, but not on its way: how it was to be attached is among what is lost.
  return isAbsent(device) || device.value.attachment === 'lost';
}

/** By which transport each device is attached, or was when it began to be detached. */
export function recordedTransports({ devices }: Projection): ReadonlyMap<number, string> {
  const recorded = new Map<number, string>();
  for (const { context } of devices.values()) {
    if (context.transport !== null) recorded.set(context.deviceId, context.transport);
  }
  return recorded;
}

/** The changes that put devices right whose newest event is at or before `throughSeq`. */
export function recoverDevices(
  projection: Projection,
  truth: DeviceTruth,
  { policy, throughSeq }: { readonly policy: DevicePolicy; readonly throughSeq: number },
): readonly Change[] {
  return [...projection.devices.values()].flatMap((state) => {
    // What has changed since the machine was asked is newer than its answer.
    if (state.lastSeq > throughSeq) return [];
    const { deviceId } = state.context;
    const needsLease = (snapshotId: number): boolean =>
      truth.isPreparing(snapshotId) ||
      leases(projection, snapshotId, deviceId) ||
      isHeldByOperator(projection, state, snapshotId);
    const lostReason = whyLost(state, truth);
    const ofDevice = policyFor(deviceId, projection, policy);
    const events = decideRecovery(state, { needsLease, lostReason }, ofDevice);
    return events.length === 0 ? [] : [{ stream: deviceStream(deviceId), events }];
  });
}

function leases(projection: Projection, snapshotId: number, deviceId: number): boolean {
  const snapshot = projection.snapshot(snapshotId);
  return snapshot !== undefined && neededDeviceOf(snapshot) === deviceId;
}

/** An operator's lease lasts for as long as its layer does. */
function isHeldByOperator(projection: Projection, state: DeviceState, snapshotId: number): boolean {
  const layer = projection.snapshot(state.context.deviceId);
  const isThere = layer !== undefined && kindOf(layer) !== undefined;
  return isThere && isLeasedByOperator(state, snapshotId);
}

function whyLost({ context }: DeviceState, truth: DeviceTruth): string | undefined {
  if (truth.wasRebooted) return 'the machine was started anew';
  const { deviceId, plan } = context;
  if (truth.sightings === undefined) return undefined;
  const sighting = truth.sightings.find((one) => one.deviceId === deviceId);
  // Whatever has become of it shows once it can be looked at.
  if (sighting?.unseen !== undefined) return undefined;
  if (sighting === undefined || sighting.path === null) return 'the backing store has it no more';
  if (sighting.path !== context.path) return `it is ${sighting.path} now`;
  return plan?.mount !== 'none' && !sighting.isMounted ? 'it is mounted no more' : undefined;
}

function strayDevices(
  projection: Projection,
  sightings: readonly DeviceSighting[],
): readonly number[] {
  return sightings
    .filter(({ unseen }) => unseen === undefined)
    .map(({ deviceId }) => deviceId)
    .filter((deviceId) => {
      const state = projection.device(deviceId);
      return state === undefined || isAbsent(state);
    });
}
