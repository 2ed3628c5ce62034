// The events of a device's stream (`device-<id>`): one block device for one chain of layers, or for
// one writable layer. Past tense; never refused on replay; never edited.
import type { EffectFailure, RecordedEvent } from '../kernel/envelope.ts';

/** What a snapshot needs the device for. */
export type LeasePurpose = 'container' | 'initLayer' | 'view' | 'unpack' | 'operator';

/** How a writable layer is kept: data appended as it comes, or each block at its own place. */
export type WritableLayerType = 'append' | 'sparse';

/** The writable layer of a device, which is made before it is first attached. */
export interface WritableLayer {
  readonly layerType: WritableLayerType;
  /** Of the device, in GiB; null: that of the layers below. */
  readonly sizeGib: number | null;
  /** The snapshot whose layers lie below; null if none do. */
  readonly parentId: number | null;
}

/**
 * How the device is attached, and what is done with it: decided once, for as long as it is there.
 */
export interface DevicePlan {
  readonly access: 'readOnly' | 'writable';
  /** What is written; null if it is only read. */
  readonly writableLayer: WritableLayer | null;
  /** How it is mounted in its snapshot's directory; `none` if clients mount the device. */
  readonly mount: 'readOnly' | 'readWrite' | 'none';
  /** The file system that is on it, or that it gets. */
  readonly fileSystem: string;
  /** Options of mount(2), joined by commas; '' for none. */
  readonly mountOptions: string;
  /** Arguments of mkfs for a new file system; null if there is one. */
  readonly formatArguments: readonly string[] | null;
}

export interface DeviceEventData {
  /** A snapshot needs the device from now on. */
  readonly DeviceLeased: {
    readonly deviceId: number;
    readonly snapshotId: number;
    readonly purpose: LeasePurpose;
  };
  /** A snapshot does not need it any more. */
  readonly DeviceReleased: { readonly snapshotId: number };
  /** It is to be attached. */
  readonly DeviceAttachStarted: { readonly plan: DevicePlan };
  /** The kernel has the device; it is formatted and mounted next, as far as the plan says so. */
  readonly DeviceAttached: {
    readonly operationId: number;
    /** `/dev/…` */
    readonly path: string;
    /** Of the device, as its users see it. */
    readonly sizeBytes: number;
    /** How it reaches the kernel: `fuse`, `ublk` or `tcmu`. */
    readonly transport: string;
  };
  /** It has a new file system. */
  readonly DeviceFormatted: { readonly operationId: number };
  /** It is mounted in the directory of its snapshot. */
  readonly DeviceMounted: { readonly operationId: number };
  /** Attaching, formatting or mounting failed; what was built is torn down. */
  readonly DeviceAttachFailed: { readonly operationId: number; readonly failure: EffectFailure };
  /** Nobody leases it; it is detached at this time unless somebody does before. */
  readonly DeviceLingerStarted: { readonly untilUs: number };
  /** Nobody leases it; it stays until its layer is removed. */
  readonly DeviceKept: Readonly<Record<never, never>>;
  /** It is to be unmounted, if it is mounted, and detached. */
  readonly DeviceDetachStarted: Readonly<Record<never, never>>;
  /** It is not mounted any more; it is detached next, or mounted again if somebody leases it. */
  readonly DeviceUnmounted: { readonly operationId: number };
  /**
   * Nothing is left of it in the kernel or the backing store; if somebody leases it, it is attached
   * again.
   */
  readonly DeviceDetached: { readonly operationId: number };
  /** Unmounting or detaching failed; it is tried again. */
  readonly DeviceDetachFailed: { readonly operationId: number; readonly failure: EffectFailure };
  /** It is gone, or dead, without our doing. */
  readonly DeviceLost: {
    /** What showed that it is gone. */
    readonly reason: string;
  };
}

export type DeviceEventType = keyof DeviceEventData;

export type DeviceEvent = {
  [Type in DeviceEventType]: RecordedEvent<Type, DeviceEventData[Type]>;
}[DeviceEventType];

/** Newest schema version of each type. Stored; a version is never reused for another shape. */
export const deviceEventVersions: Readonly<Record<DeviceEventType, number>> = {
  DeviceLeased: 1,
  DeviceReleased: 1,
  DeviceAttachStarted: 2,
  DeviceAttached: 2,
  DeviceFormatted: 1,
  DeviceMounted: 1,
  DeviceAttachFailed: 1,
  DeviceLingerStarted: 1,
  DeviceKept: 1,
  DeviceDetachStarted: 1,
  DeviceUnmounted: 1,
  DeviceDetached: 1,
  DeviceDetachFailed: 1,
  DeviceLost: 1,
};

/** The stream that holds the history of the device of snapshot `deviceId`. */
export const deviceStream = (deviceId: number): string => `device-${deviceId}`;

/** The id of the device whose history a stream holds; undefined for any other stream. */
export function deviceIdOf(stream: string): number | undefined {
  const deviceId = Number(/^device-([1-9]\d*)$/.exec(stream)?.[1]);
  return Number.isSafeInteger(deviceId) ? deviceId : undefined;
}
