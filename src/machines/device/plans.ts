// How devices are attached: what a device is for and what is on it give its plan.
import type { BlockContent, MountMode, WritableBlock } from '../snapshot/events.ts';
import type { DevicePlan } from './events.ts';

/** The device of a chain of finished layers, mounted for all who read it. */
export const readOnlyPlan = ({ fileSystem, mountOptions }: BlockContent): DevicePlan => ({
  access: 'readOnly',
  writableLayer: null,
  mount: 'readOnly',
  fileSystem,
  mountOptions,
  formatArguments: null,
});

/** The device of one snapshot that is written. */
export const writablePlan = (
  { layerType, sizeGib, fileSystem, mountOptions, formatArguments }: WritableBlock,
  { mode, parentId }: { readonly mode: MountMode; readonly parentId: number | null },
): DevicePlan => ({
  access: 'writable',
  writableLayer: { layerType, sizeGib, parentId },
  mount: mode === 'dir' ? 'readWrite' : 'none',
  fileSystem,
  mountOptions,
  formatArguments,
});
