// Leads what durable events say is owed to those who carry it out: effects on snapshots, effects on
// devices. Each kind of subject has its own runner.
import {
  decideDeviceOutcome,
  type DeviceOutcome,
  type DevicePolicy,
} from '../machines/device/decide.ts';
import { deviceIdOf } from '../machines/device/events.ts';
import { deviceIntentOf, type DeviceIntent } from '../machines/device/intents.ts';
import { isDeviceInFlight } from '../machines/device/evolve.ts';
import { isAbsent, isLeaving, type DeviceState } from '../machines/device/state.ts';
import type { Cause, EffectFailure, RecordedEvent } from '../machines/kernel/envelope.ts';
import type { Projection } from '../machines/projection.ts';
import { isFinishing, type SnapshotState } from '../machines/snapshot/state.ts';
import { decideOutcome, type Outcome } from '../machines/snapshot/decide.ts';
import { snapshotIdOf, snapshotStream } from '../machines/snapshot/events.ts';
import { intentsOf, type Intent } from '../machines/snapshot/intents.ts';
import { pauseMs } from './backoff.ts';
import { policyFor, type Devices } from './devices.ts';
import { EffectRunner, type AskCause, type Ended } from './effect-runner.ts';
import type { Effects } from './effects.ts';
import type { LaneBounds } from './lane.ts';
import {
  attachConcurrencyMax,
  deleteConcurrencyMax,
  detachConcurrencyMax,
  imageConcurrencyMax,
  sealConcurrencyMax,
} from './limits.ts';
import type { Clock, CrashPoint, Logger } from './ports.ts';
import type { Change, Sequencer } from './sequencer.ts';
import type { Strays } from './strays.ts';

export interface DispatcherOptions {
  readonly projection: Projection;
  readonly effects: Effects;
  readonly devices: Devices;
  readonly strays: Strays;
  readonly devicePolicy: () => DevicePolicy;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly crashPoint: CrashPoint;
  /** Nothing is left of a device, nor of its snapshot if there was one. */
  readonly onDeviceOver: (deviceId: number) => void;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #sequencer: Sequencer;
  readonly #snapshots: EffectRunner<Intent, Outcome>;
  readonly #devices: EffectRunner<DeviceIntent, DeviceOutcome>;

  constructor(sequencer: Sequencer, options: DispatcherOptions) {
    this.#options = options;
    this.#sequencer = sequencer;
    const { projection, effects } = options;
    this.#snapshots = new EffectRunner<Intent, Outcome>(
      {
        idField: 'snapshotId',
        bounds: {
          sealLayer: atMost(sealConcurrencyMax),
          finishBlockLayer: atMost(sealConcurrencyMax),
          deleteDirectory: atMost(deleteConcurrencyMax),
        },
        idOf: ({ snapshotId }) => snapshotId,
        groupOf: ({ snapshotId }) => snapshotId,
        delayMsOf: ({ attemptCount }) => pauseMs(attemptCount),
        carryOut: (intent) => effects.carryOut(intent),
        failureOf: (outcome) => (outcome.kind === 'failed' ? outcome.failure : null),
        record: ({ snapshotId, operationId }, outcome, cause) => {
          const state = projection.snapshot(snapshotId);
          const events = state === undefined ? [] : decideOutcome(state, operationId, outcome);
          if (state === undefined || events.length === 0) return undefined;
          const leases = this.#leasesAfter(state, outcome);
          if (leases.length === 0) return sequencer.recordSnapshotLazily(snapshotId, events, cause);
          const ended = { stream: snapshotStream(snapshotId), events };
          return sequencer.recordTogether([ended, ...leases], cause);
        },
      },
      { ...options, sequencer },
    );
    this.#devices = this.#deviceRunner(sequencer);
  }

  /** What the outcome of a snapshot's effect means for its leases. */
  #leasesAfter({ value, context }: SnapshotState, { kind }: Outcome): readonly Change[] {
    const { devices } = this.#options;
    const { snapshotId, deviceId, role } = context;
    if (deviceId === null || value.lifecycle !== 'committing') return [];
    if (kind === 'failed') {
      // It is written again as before.
      return value.backing === 'writableBlock' ? devices.leaseAgainOf(context) : [];
    }
    // What is committed is read through what is prepared on it, which has leases of its own. An
    // init layer is part of its container, which has none.
    return role === 'initLayer' ? [] : devices.releaseOf(deviceId, snapshotId);
  }

  #deviceRunner(sequencer: Sequencer): EffectRunner<DeviceIntent, DeviceOutcome> {
    const { projection, clock, devicePolicy, effects } = this.#options;
    return new EffectRunner<DeviceIntent, DeviceOutcome>(
      {
        idField: 'deviceId',
        bounds: {
          attachDevice: attachBounds,
          formatDevice: attachBounds,
          mountDevice: attachBounds,
          unmountDevice: detachBounds,
          detachDevice: detachBounds,
          awaitLinger: atMost(Infinity),
          awaitRetry: atMost(Infinity),
        },
        idOf: ({ deviceId }) => deviceId,
        groupOf: ({ deviceId }) => this.#imageOf(deviceId),
        delayMsOf: (intent) =>
          intent.kind === 'awaitLinger'
            ? // The clock may have been set back since.
              Math.min(Math.ceil((intent.untilUs - clock.nowUs()) / 1000), devicePolicy().lingerMs)
            : pauseMs(intent.attemptCount),
        carryOut: (intent) => effects.carryOutOnDevice(intent),
        failureOf: (outcome) => ('failure' in outcome ? outcome.failure : null),
        record: ({ kind, deviceId, operationId }, outcome, cause) => {
          // Whatever else fails is undone, and then nothing is left of the device.
          const takesAway = kind === 'unmountDevice' || kind === 'detachDevice';
          if (outcome.kind === 'lost' || (outcome.kind === 'failed' && takesAway)) {
            this.#failFinishing(deviceId, outcome.failure, cause);
          }
          const state = projection.device(deviceId);
          const policy = policyFor(deviceId, projection, devicePolicy());
          const events =
            state === undefined ? [] : decideDeviceOutcome(state, operationId, outcome, policy);
          return events.length === 0 ? undefined : sequencer.recordDevice(deviceId, events, cause);
        },
      },
      { ...this.#options, sequencer },
    );
  }

  /**
   * The bottom-most layer of what a device presents: images that have it in common share what may
   * hang. Of a device that lies on nothing its own id.
   */
  #imageOf(deviceId: number): number {
    const { projection } = this.#options;
    // The snapshot of a device that is made for it does not exist yet.
    const below = projection.device(deviceId)?.context.plan?.writableLayer?.parentId;
    return projection.catalog.baseOf(below ?? deviceId);
  }

  /**
   * A writable layer cannot be made a finished one while its device cannot be taken away: whoever
   * uses it goes on, and Commit says who does.
   */
  #failFinishing(snapshotId: number, failure: EffectFailure, cause: Cause): void {
    const { projection, devices } = this.#options;
    const state = projection.snapshot(snapshotId);
    const operationId = state?.context.operation?.operationId;
    if (state === undefined || operationId === undefined || !isFinishing(state)) return;
    const events = decideOutcome(state, operationId, { kind: 'failed', failure });
    const failed = { stream: snapshotStream(snapshotId), events };
    const seq = this.#sequencer.recordTogether(
      [failed, ...devices.leaseAgainOf(state.context)],
      cause,
    );
    this.#snapshots.endedOtherwise(snapshotId, { operationId, failure }, seq);
  }

  /** Looks at the subject that a durable event is about, and starts what it owes. */
  consider({ stream, globalSeq, cause }: RecordedEvent): void {
    const { projection } = this.#options;
    const snapshotId = snapshotIdOf(stream);
    const deviceId = deviceIdOf(stream);
    // Memory may already be ahead: the event that it is ahead by comes here by itself.
    if (snapshotId !== undefined) {
      const state = projection.snapshot(snapshotId);
      if (state?.lastSeq === globalSeq) this.resume(state, () => cause);
    } else if (deviceId !== undefined) {
      const state = projection.device(deviceId);
      if (state === undefined) this.#options.onDeviceOver(deviceId);
      else if (state.lastSeq === globalSeq) this.resumeDevice(state, () => cause);
    }
  }

  /** Starts what a snapshot owes whose events are all durable. */
  resume(state: SnapshotState, askCause: AskCause): void {
    const { projection, strays } = this.#options;
    const { snapshotId } = state.context;
    const device = projection.device(snapshotId);
    const isAttached = strays.has(snapshotId) || (device !== undefined && !isAbsent(device));
    for (const intent of intentsOf(state)) {
      // What is attached still uses the directory: its end leads here again.
      const isHeld = intent.kind !== 'sealLayer' && isAttached;
      if (!isHeld) this.#snapshots.schedule(intent, askCause);
    }
  }

  /** Starts what a device owes whose events are all durable. */
  resumeDevice(state: DeviceState, askCause: AskCause): void {
    const { projection, strays } = this.#options;
    const { deviceId } = state.context;
    const intent = deviceIntentOf(state);
    // Two at a time would undo each other's work; the end of that one leads here again.
    if (intent !== undefined && !strays.isRunning(deviceId)) {
      this.#devices.schedule(intent, askCause);
    }
    const snapshot = projection.snapshot(deviceId);
    if (isAbsent(state) && snapshot !== undefined) this.resume(snapshot, askCause);
  }

  /**
   * Looks at a snapshot whose newest event is not durable yet, and starts what changes nothing.
   */
  anticipate(snapshotId: number, cause: Cause): void {
    const state = this.#options.projection.snapshot(snapshotId);
    for (const intent of state === undefined ? [] : intentsOf(state)) {
      if (intent.changesNothing) this.#snapshots.schedule(intent, () => cause);
    }
  }

  /** Retries at once what waits for its next attempt. */
  hurry(snapshotId: number): void {
    this.#snapshots.hurry(snapshotId);
  }

  /** The same for a device. */
  hurryDevice(deviceId: number): void {
    this.#devices.hurry(deviceId);
  }

  /** Resolves when an attempt of this snapshot has a durable outcome: the next, or that named. */
  settled(snapshotId: number, operationId?: number): Promise<Ended> {
    return this.#snapshots.settled(snapshotId, operationId);
  }

  /** The same for a device. */
  deviceSettled(deviceId: number, operationId: number): Promise<Ended> {
    return this.#devices.settled(deviceId, operationId);
  }

  /** Resolves when nothing of the snapshot is in flight, or an attempt at it has failed. */
  async snapshotAtRest(snapshotId: number): Promise<void> {
    for (;;) {
      const operation = this.#options.projection.snapshot(snapshotId)?.context.operation ?? null;
      if (operation === null || operation.attemptCount > 1) return;
      const { failure } = await this.settled(snapshotId, operation.operationId);
      if (failure !== null) return;
    }
  }

  /** The same for a device; one that lingers beyond `nowUs`, or waits for another try, rests. */
  async deviceAtRest(deviceId: number, nowUs: number): Promise<void> {
    for (;;) {
      const state = this.#options.projection.device(deviceId);
      if (state === undefined || !isDeviceInFlight(state)) return;
      const { operation, lingerUntilUs } = state.context;
      const isWaiting = state.value.attachment === 'failed' || (lingerUntilUs ?? 0) > nowUs;
      if (operation === null || operation.attemptCount > 1 || isWaiting) return;
      await this.#devices.settled(deviceId, operation.operationId);
    }
  }

  /**
   * Tries at once to take away the device of a snapshot that was removed: answers why it stays,
   * undefined once it is gone.
   */
  async deviceInTheWay(
    deviceId: number,
  ): Promise<{ readonly failure: EffectFailure | null } | undefined> {
    const failure = await this.#options.strays.tryNow(deviceId);
    if (failure !== null) return { failure };
    for (;;) {
      const state = this.#options.projection.device(deviceId);
      const operation = state?.context.operation ?? null;
      if (state === undefined || operation === null || isAbsent(state)) return undefined;
      this.hurryDevice(deviceId);
      const ended = await this.deviceSettled(deviceId, operation.operationId);
      if (ended.failure !== null && isLeaving(state)) return ended;
    }
  }

  /** How many callers wait for this snapshot. */
  waiterCount(snapshotId: number): number {
    return this.#snapshots.waiterCount(snapshotId);
  }

  get runningCount(): number {
    return this.#snapshots.runningCount + this.#devices.runningCount;
  }

  /** Starts nothing more; what runs goes on, and what was not done is owed to the next start. */
  stop(): void {
    this.#snapshots.stop();
    this.#devices.stop();
  }
}

const atMost = (concurrencyMax: number): LaneBounds => ({
  concurrencyMax,
  groupConcurrencyMax: Infinity,
});

const attachBounds: LaneBounds = {
  concurrencyMax: attachConcurrencyMax,
  groupConcurrencyMax: imageConcurrencyMax,
};

const detachBounds: LaneBounds = {
  concurrencyMax: detachConcurrencyMax,
  groupConcurrencyMax: imageConcurrencyMax,
};
