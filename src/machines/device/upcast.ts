// Older versions of a device's events, each brought to the next.
import type { DeviceEventData, DevicePlan } from './events.ts';

interface AttachStartedOf1 {
  readonly plan: Omit<DevicePlan, 'writableLayer'>;
}

/** The only transport that there was before it was recorded. */
export const transportOfOld = 'fuse';

/** Version 1 knew devices that are only read. */
export function attachStartedFromVersion1(data: unknown): DeviceEventData['DeviceAttachStarted'] {
  const { plan } = data as AttachStartedOf1;
  return { plan: { ...plan, writableLayer: null } };
}

export function attachedFromVersion1(data: unknown): DeviceEventData['DeviceAttached'] {
  const attached = data as Omit<DeviceEventData['DeviceAttached'], 'transport'>;
  return { ...attached, transport: transportOfOld };
}
