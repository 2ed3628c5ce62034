// Leases of devices: taken for a snapshot that is being prepared, given back when clients cannot
// use it any more. Callers wait here until their device can be used; what is done to that end is
// owed by the device's own state.
import type { Cause, EffectFailure, RecordedEvent } from '../machines/kernel/envelope.ts';
import { accepted, type Result } from '../machines/kernel/rejection.ts';
import {
  decideDetach,
  decideLease,
  decideRelease,
  type DevicePolicy,
  type LeaseCommand,
  type NewDeviceEvent,
} from '../machines/device/decide.ts';
import {
  deviceIdOf,
  deviceStream,
  type DevicePlan,
  type LeasePurpose,
} from '../machines/device/events.ts';
import { unknownDevice } from '../machines/device/evolve.ts';
import { isUsable, type DeviceState } from '../machines/device/state.ts';
import { readOnlyPlan, writablePlan } from '../machines/device/plans.ts';
import { invariant } from '../machines/kernel/invariant.ts';
import type { MountMode, SnapshotRole, WritableBlock } from '../machines/snapshot/events.ts';
import type { Projection } from '../machines/projection.ts';
import { kindOf } from '../machines/snapshot/state.ts';
import type { Change, Sequencer } from './sequencer.ts';

export interface DevicesOptions {
  readonly projection: Projection;
  readonly sequencer: Sequencer;
  readonly policy: () => DevicePolicy;
  /** Begins at once the attempt that a device waits for. */
  readonly hurry: (deviceId: number) => void;
}

/** What each role needs a device for. */
const purposeOf: Readonly<Record<SnapshotRole, LeasePurpose>> = {
  imageLayer: 'unpack',
  initLayer: 'initLayer',
  containerLayer: 'container',
  view: 'view',
};

/** A snapshot, as far as leases go. */
export interface Lessee {
  readonly snapshotId: number;
  readonly deviceId: number | null;
  readonly role: SnapshotRole;
  readonly mode: MountMode;
  readonly writable: WritableBlock | null;
  readonly parentId: number | null;
}

/** How it ended: with a device that can be used, or with why it cannot. */
export type Ended = { readonly failure: EffectFailure | null };

interface Waiter {
  readonly sinceSeq: number;
  readonly resolve: (ended: Ended) => void;
}

/** What is left of an attach that failed cannot be taken down, and is in the way of the next. */
const isFailedUndo = ({ type }: RecordedEvent, { context }: DeviceState): boolean =>
  type === 'DeviceDetachFailed' && context.isUndoing;

/** A device is not kept that nobody can lease any more: its layer is gone, or goes. */
export function policyFor(
  deviceId: number,
  projection: Projection,
  policy: DevicePolicy,
): DevicePolicy {
  const layer = projection.snapshot(deviceId);
  const isThere = layer !== undefined && kindOf(layer) !== undefined;
  return isThere ? policy : { ...policy, autoRemoveDev: true };
}

export class Devices {
  readonly #options: DevicesOptions;
  readonly #waiters = new Map<number, Set<Waiter>>();

  constructor(options: DevicesOptions) {
    this.#options = options;
  }

  /** Takes the lease that a snapshot needs, if it needs one. */
  leaseFor(lessee: Lessee, cause: Cause): Result<Promise<Ended>> {
    const { snapshotId, deviceId, role } = lessee;
    if (deviceId === null) return accepted(Promise.resolve({ failure: null }));
    const plan = this.#planFor(lessee, deviceId);
    return this.lease({ deviceId, snapshotId, purpose: purposeOf[role], plan }, cause);
  }

  /** The change by which a snapshot takes its own device again, which it had before. */
  leaseAgainOf(lessee: Lessee): readonly Change[] {
    const { snapshotId, role } = lessee;
    const plan = this.#planFor(lessee, snapshotId);
    const command = { deviceId: snapshotId, snapshotId, purpose: purposeOf[role], plan };
    const decided = decideLease(command, this.#stateOf(snapshotId));
    invariant(decided.ok, 'the device of a writable layer is leased by its snapshot alone');
    return [{ stream: deviceStream(snapshotId), events: decided.value }];
  }

  #planFor({ snapshotId, writable, mode, parentId }: Lessee, deviceId: number): DevicePlan {
    const { projection } = this.#options;
    if (writable !== null) {
      const plan = writablePlan(writable, { mode, parentId });
      // A snapshot that exists has been there with a file system, which holds what was written.
      const isNew = projection.snapshot(snapshotId) === undefined;
      return isNew ? plan : { ...plan, formatArguments: null };
    }
    const block = projection.snapshot(deviceId)?.context.block ?? null;
    invariant(block !== null, 'a device is that of a block layer');
    return readOnlyPlan(block);
  }

  /**
   * Takes a lease, in the turn of the call; answers how it ends: with a device that can be used, or
   * with why it cannot. Whoever is told of a failure gives the lease back.
   */
  lease(command: LeaseCommand, cause: Cause): Result<Promise<Ended>> {
    const { deviceId } = command;
    const decided = decideLease(command, this.#stateOf(deviceId));
    if (!decided.ok) return decided;
    this.#record(deviceId, decided.value, cause);
    return accepted(this.usable(deviceId));
  }

  isUsable(deviceId: number): boolean {
    return isUsable(this.#stateOf(deviceId));
  }

  /**
   * Resolves when a device that is leased can be used, durably, or its attach has failed; also when
   * nobody leases it any more.
   */
  usable(deviceId: number): Promise<Ended> {
    const { sequencer, projection, hurry } = this.#options;
    const state = this.#stateOf(deviceId);
    // One that is ready for others already: the lease becomes durable with what it is taken for.
    if (isUsable(state)) return Promise.resolve({ failure: null });
    hurry(deviceId);
    const ended = new Promise<Ended>((resolve) => {
      const waiters = this.#waiters.get(deviceId) ?? new Set<Waiter>();
      this.#waiters.set(deviceId, waiters.add({ sinceSeq: projection.globalSeq, resolve }));
    });
    // What the device owes begins once its events are durable.
    void sequencer.durableAt(state.lastSeq).catch(() => undefined);
    return ended;
  }

  /** The change that gives a lease back; none if there is none. */
  releaseOf(deviceId: number, snapshotId: number): readonly Change[] {
    const { projection, policy } = this.#options;
    const ofDevice = policyFor(deviceId, projection, policy());
    const events = decideRelease(snapshotId, this.#stateOf(deviceId), ofDevice);
    return events.length === 0 ? [] : [{ stream: deviceStream(deviceId), events }];
  }

  /** The change that detaches a device of a layer that goes; none if there is nothing to detach. */
  detachOf(deviceId: number): readonly Change[] {
    const events = decideDetach(this.#stateOf(deviceId));
    return events.length === 0 ? [] : [{ stream: deviceStream(deviceId), events }];
  }

  release(deviceId: number, snapshotId: number, cause: Cause): void {
    const { sequencer } = this.#options;
    if (sequencer.isOver) return;
    const changes = this.releaseOf(deviceId, snapshotId);
    if (changes.length > 0) sequencer.recordTogether(changes, cause);
  }

  /** Looks at a durable event: whoever waits for its device may have waited enough. */
  notice(event: RecordedEvent): void {
    const deviceId = deviceIdOf(event.stream);
    const waiters = deviceId === undefined ? undefined : this.#waiters.get(deviceId);
    if (deviceId === undefined || waiters === undefined) return;
    const state = this.#stateOf(deviceId);
    const { durableSeq } = this.#options.sequencer;
    const isUnwanted = state.context.leases.length === 0;
    if ((isUsable(state) && state.lastSeq <= durableSeq) || isUnwanted) {
      for (const waiter of waiters) this.#resolve(deviceId, waiter, { failure: null });
    } else if (event.type === 'DeviceAttachFailed' || isFailedUndo(event, state)) {
      const { failure } = event.data as { readonly failure: EffectFailure };
      // One that was decided before the lease is that of others.
      const failed = [...waiters].filter(({ sinceSeq }) => sinceSeq < event.globalSeq);
      for (const waiter of failed) this.#resolve(deviceId, waiter, { failure });
    } else if (state.value.attachment === 'failed') {
      // Who came while the failed attempt was undone need not wait for the pause before the next.
      this.#options.hurry(deviceId);
    }
  }

  #resolve(deviceId: number, waiter: Waiter, ended: Ended): void {
    const waiters = this.#waiters.get(deviceId);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(deviceId);
    waiter.resolve(ended);
  }

  #stateOf(deviceId: number): DeviceState {
    return this.#options.projection.device(deviceId) ?? unknownDevice;
  }

  #record(deviceId: number, events: readonly NewDeviceEvent[], cause: Cause): void {
    if (events.length === 0) return;
    this.#options.sequencer.recordDeviceLazily(deviceId, events, cause);
  }
}
