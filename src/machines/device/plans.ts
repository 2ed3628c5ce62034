// How devices are attached: what a device is for and what is on it give its plan.
import type { DevicePlan } from './events.ts';

// A device that is only read needs no discard, and xfs refuses a second file system of the same
// UUID, as every image started twice from two chains is.
const readOnlyMountOptions: Readonly<Record<string, string>> = { xfs: 'nouuid' };

/** The device of a chain of finished layers, mounted for all who read it. */
export const readOnlyPlan = (fileSystem: string): DevicePlan => ({
  access: 'readOnly',
  mount: 'readOnly',
  fileSystem,
  mountOptions: readOnlyMountOptions[fileSystem] ?? '',
  formatArguments: null,
});
