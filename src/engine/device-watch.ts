// Keeps what is known of devices true: at the start, and again and again, the machine is asked what
// it has, and devices that are gone are attached again for those who lease them.
import type { DevicePolicy } from '../machines/device/decide.ts';
import type { DeviceState } from '../machines/device/state.ts';
import type { Cause } from '../machines/kernel/envelope.ts';
import type { Projection } from '../machines/projection.ts';
import { recovery } from './boot.ts';
import { recordedTransports, recoverDevices, type DevicesPlan } from './device-recovery.ts';
import type { Devices } from './devices.ts';
import { deviceWatchMs } from './limits.ts';
import type { BlockDevices, Clock, Logger } from './ports.ts';
import type { Change, Sequencer } from './sequencer.ts';

export interface DeviceWatchOptions {
  readonly projection: Projection;
  readonly sequencer: Sequencer;
  readonly blockDevices: BlockDevices;
  readonly devices: Devices;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly policy: () => DevicePolicy;
  /** Starts what a device owes whose events are all durable. */
  readonly resume: (state: DeviceState) => void;
  readonly isPreparing: (snapshotId: number) => boolean;
}

const timer: Cause = { kind: 'timer', method: 'WatchDevices' };

export class DeviceWatch {
  readonly #options: DeviceWatchOptions;
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(options: DeviceWatchOptions) {
    this.#options = options;
  }

  /** Puts right what the last server left, and goes on with what it had begun. */
  async begin(plan: DevicesPlan): Promise<void> {
    const { projection, resume, devices } = this.#options;
    await this.#record(plan.changes, recovery);
    for (const state of plan.unleased) devices.leaseFor(state.context, recovery);
    for (const { context, lastSeq } of plan.inFlight) {
      const state = projection.device(context.deviceId);
      // What was recorded now comes to the dispatcher by itself.
      if (state?.lastSeq === lastSeq) resume(state);
    }
    this.watch();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  /** Looks from time to time for as long as there are devices; called whenever there may be one. */
  watch(): void {
    const { projection, clock, logger } = this.#options;
    if (this.#isStopped || this.#cancel !== undefined || projection.devices.size === 0) return;
    this.#cancel = clock.after(deviceWatchMs, () => {
      void this.#look()
        .catch((error: unknown) => logger.warn({ err: error }, 'devices could not be looked at'))
        .finally(() => {
          this.#cancel = undefined;
          this.watch();
        });
    });
  }

  async #look(): Promise<void> {
    const { projection, sequencer, policy, isPreparing, logger, blockDevices } = this.#options;
    if (projection.devices.size === 0) return;
    const throughSeq = projection.globalSeq;
    const observed = await blockDevices.observe(recordedTransports(projection));
    if (!observed.ok) logger.warn(observed.failure, 'devices could not be looked at');
    const sightings = observed.ok ? observed.value : undefined;
    for (const { deviceId, unseen } of sightings ?? []) {
      if (unseen !== undefined)
        logger.warn({ deviceId, ...unseen }, 'a device cannot be looked at');
    }
    if (sequencer.isOver) return;
    const truth = { sightings, wasRebooted: false, isPreparing };
    await this.#record(recoverDevices(projection, truth, { policy: policy(), throughSeq }), timer);
  }

  async #record(changes: readonly Change[], cause: Cause): Promise<void> {
    const { sequencer } = this.#options;
    if (changes.length === 0) return;
    await sequencer.durableAt(sequencer.recordTogether(changes, cause));
  }
}
