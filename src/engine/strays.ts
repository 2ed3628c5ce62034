// Devices that the machine shows and nothing is known of: left by what a log has lost. They are
// taken away beside everything else, and tried again until they are gone. What is owed to the
// snapshot of such a device waits for that. Whoever needs the device itself waits for an attempt
// that runs, and takes up what is left of it.
import { isAbsent } from '../machines/device/state.ts';
import type { EffectFailure } from '../machines/kernel/envelope.ts';
import type { Projection } from '../machines/projection.ts';
import { pauseMs } from './backoff.ts';
import { Lane } from './lane.ts';
import { strayConcurrencyMax } from './limits.ts';
import type { BlockDevices, Clock, Logger } from './ports.ts';

export interface StraysOptions {
  readonly projection: Projection;
  readonly blockDevices: BlockDevices;
  readonly clock: Clock;
  readonly logger: Logger;
  /** An attempt has ended: what waited for it goes on, as far as it may. */
  readonly onRest: (deviceId: number) => void;
}

interface Stray {
  failureCount: number;
  isRunning: boolean;
  /** Ends the pause before its next attempt; undefined while there is none. */
  cancelPause: (() => void) | undefined;
  waiters: ((failure: EffectFailure | null) => void)[];
}

export class Strays {
  readonly #options: StraysOptions;
  readonly #strays = new Map<number, Stray>();
  readonly #lane: Lane<number>;
  #isStopped = false;

  constructor(options: StraysOptions) {
    this.#options = options;
    const bounds = { concurrencyMax: strayConcurrencyMax, groupConcurrencyMax: Infinity };
    this.#lane = new Lane(bounds, (deviceId) => this.#attempt(deviceId));
  }

  begin(deviceIds: readonly number[]): void {
    for (const deviceId of deviceIds) {
      this.#options.logger.warn({ deviceId }, 'a device that nothing is known of is detached');
      const stray = { failureCount: 0, isRunning: false, cancelPause: undefined, waiters: [] };
      this.#strays.set(deviceId, stray);
      this.#lane.push(deviceId, deviceId);
    }
  }

  /** Whether there is still one. */
  has(deviceId: number): boolean {
    return this.#strays.has(deviceId);
  }

  /** Whether something is being done to it at this moment. */
  isRunning(deviceId: number): boolean {
    return this.#strays.get(deviceId)?.isRunning ?? false;
  }

  /** Resolves when every one has been tried once at least. */
  async tried(): Promise<void> {
    const untried = [...this.#strays.values()].filter(({ failureCount }) => failureCount === 0);
    await Promise.all(untried.map((stray) => ended(stray)));
  }

  /** Tries at once; answers why it stays, null if there is none any more. */
  async tryNow(deviceId: number): Promise<EffectFailure | null> {
    for (;;) {
      const stray = this.#strays.get(deviceId);
      if (stray === undefined) return null;
      // That attempt may have begun before what was in the way has gone.
      const isEarlier = stray.isRunning;
      this.#hurry(deviceId, stray);
      const failure = await ended(stray);
      if (failure === null || !isEarlier) return failure;
    }
  }

  /** Begins nothing more; what is left is found by the next start. */
  stop(): void {
    this.#isStopped = true;
    for (const { cancelPause } of this.#strays.values()) cancelPause?.();
    this.#lane.clear();
  }

  #hurry(deviceId: number, stray: Stray): void {
    if (stray.cancelPause === undefined || this.#isStopped) return;
    stray.cancelPause();
    stray.cancelPause = undefined;
    this.#lane.push(deviceId, deviceId);
  }

  async #attempt(deviceId: number): Promise<void> {
    const stray = this.#strays.get(deviceId);
    if (stray === undefined) return;
    stray.isRunning = true;
    const failure = this.#isTakenUp(deviceId) ? null : await this.#takeAway(deviceId);
    stray.isRunning = false;
    if (failure === null || this.#isTakenUp(deviceId)) this.#strays.delete(deviceId);
    else this.#pause(deviceId, stray, failure);
    this.#options.onRest(deviceId);
    for (const tell of stray.waiters.splice(0)) tell(failure);
  }

  #isTakenUp(deviceId: number): boolean {
    const state = this.#options.projection.device(deviceId);
    return state !== undefined && !isAbsent(state);
  }

  async #takeAway(deviceId: number): Promise<EffectFailure | null> {
    const { blockDevices } = this.#options;
    const unmounted = await blockDevices.unmount(deviceId);
    const detached = unmounted.ok ? await blockDevices.detach(deviceId) : unmounted;
    return detached.ok ? null : detached.failure;
  }

  #pause(deviceId: number, stray: Stray, failure: EffectFailure): void {
    const { clock, logger } = this.#options;
    logger.warn({ deviceId, ...failure }, 'it could not be detached, and is tried again');
    stray.failureCount += 1;
    if (this.#isStopped) return;
    stray.cancelPause = clock.after(pauseMs(stray.failureCount + 1), () => {
      stray.cancelPause = undefined;
      this.#lane.push(deviceId, deviceId);
    });
  }
}

/** Resolves at the end of the next attempt. */
const ended = (stray: Stray): Promise<EffectFailure | null> =>
  new Promise((resolve) => stray.waiters.push(resolve));
