// Older versions of a device's events, each brought to the next.
import type { DeviceEventData, DevicePlan } from './events.ts';

interface AttachStartedOf1 {
  readonly plan: Omit<DevicePlan, 'writableLayer'>;
}

/** Version 1 knew devices that are only read. */
export function attachStartedFromVersion1(data: unknown): DeviceEventData['DeviceAttachStarted'] {
  const { plan } = data as AttachStartedOf1;
  return { plan: { ...plan, writableLayer: null } };
}
