// What devices need of a way in which they reach the kernel. Each is an adapter of its own.
import type { AttachedDevice, DeviceSighting, EffectResult } from '../../engine/ports.ts';
import type { DevicePlan } from '../../machines/device/events.ts';

/** A device of ours that is there, or one that bears a name of ours and cannot be looked at. */
export type SightedDevice = Pick<DeviceSighting, 'deviceId' | 'path' | 'unseen'>;

/** By which transport each device is attached according to the history. */
export type RecordedTransports = ReadonlyMap<number, string>;

/**
 * The devices of one backing store. Every method is convergent: run again, in any intermediate
 * condition, it ends in the same result. What bears a name of ours and is not ours is never
 * touched.
 */
export interface DeviceTransport {
  /** The transports that it can attach by now, the best first. */
  offers(): Promise<EffectResult<readonly string[]>>;
  /** The device if it is attached, and ours. */
  find(deviceId: number): Promise<EffectResult<AttachedDevice | undefined>>;
  /** Attaches it by one of the transports that are offered; what failed leaves nothing. */
  attach(
    deviceId: number,
    plan: DevicePlan,
    transport: string,
  ): Promise<EffectResult<AttachedDevice>>;
  /** Fails with EBUSY, and says by whom, while somebody uses it. Absent is success. */
  detach(deviceId: number): Promise<EffectResult<void>>;
  /** Every device of ours that is there, or a part of it. */
  sightings(recorded: RecordedTransports): Promise<EffectResult<readonly SightedDevice[]>>;
}

/** What two look-outs show of one device: the whole of it, else that it could not be looked at. */
export const seenTogether = (one: SightedDevice | undefined, other: SightedDevice): SightedDevice =>
  [one, other].find((seen) => typeof seen?.path === 'string') ??
  [one, other].find((seen) => seen?.unseen !== undefined) ??
  other;
