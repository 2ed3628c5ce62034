// The events of a snapshot's stream (`snapshot-<id>`). Past tense; never refused on replay; never
// edited: a changed shape gets a new schemaVersion and an upcaster, a changed meaning a new type.
import type { WritableLayerType } from '../device/events.ts';
import type { EffectFailure, RecordedEvent } from '../kernel/envelope.ts';

/** What a snapshot is for; chosen at Prepare or View, recorded once, never guessed again. */
export type SnapshotRole = 'imageLayer' | 'initLayer' | 'containerLayer' | 'view';

/**
 * What holds a snapshot's data: plain files, a block layer that is written through a device of its
 * own, or one overlaybd layer that is a block device's, in a file here or in a registry.
 */
export type SnapshotBacking = 'directory' | 'writableBlock' | 'localBlock' | 'remoteBlock';

/**
 * What clients mount: directories (an overlay, or a bind mount of one), the place where the device
 * is mounted (`dir`), or the device itself (`dev`).
 */
export type MountMode = 'overlayfs' | 'dir' | 'dev';

/** A block layer that is written through a device of its own. */
export interface WritableBlock {
  readonly layerType: WritableLayerType;
  /** Of the new device, in GiB; null: that of the layers below. */
  readonly sizeGib: number | null;
  /** The file system that is on it, or that it gets, as mount(2) takes it. */
  readonly fileSystem: string;
  /** Options of mount(2), joined by commas; '' for none. */
  readonly mountOptions: string;
  /** Arguments of mkfs for a new device; null if the layers below hold a file system. */
  readonly formatArguments: readonly string[] | null;
}

/** The file in a block layer's `fs` directory that holds it. */
export type BlockLayerFile = 'overlaybd.commit' | 'overlaybd.sealed';

/** What is on the device that ends with a block layer. */
export interface BlockContent {
  /** As mount(2) takes it: `ext4`, `xfs`, `erofs`, … */
  readonly fileSystem: string;
  /** Options of mount(2) with which the device is mounted, joined by commas; '' for none. */
  readonly mountOptions: string;
  /** Null: the layer is read from a registry. */
  readonly layerFile: BlockLayerFile | null;
}

/** The blob of a layer in a registry. */
export interface RemoteLayer {
  /** URL of the repository's blobs, which the digest completes. */
  readonly repoBlobUrl: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

export type Labels = Readonly<Record<string, string>>;

export interface SnapshotEventData {
  /** Prepare or View succeeded: the directory exists and the key is taken. */
  readonly SnapshotPrepared: {
    readonly snapshotId: number;
    readonly role: SnapshotRole;
    readonly key: string;
    /** Name of the parent, '' if none. */
    readonly parent: string;
    readonly parentId: number | null;
    readonly labels: Labels;
    readonly backing: SnapshotBacking;
    /**
     * The device that it leases: its own, or that of the nearest block layer below; null if none.
     */
    readonly deviceId: number | null;
    readonly mode: MountMode;
    /** How its own device is made; null if it has none. */
    readonly writable: WritableBlock | null;
    /** Where its layer is read from instead of being unpacked; null if it is not. */
    readonly remote: RemoteLayer | null;
    /** How much may be written into its directory, in bytes; null for no limit. */
    readonly quotaBytes: number | null;
  };
  /** Prepare or View failed; the key was not taken and the id is spent. */
  readonly SnapshotPrepareFailed: {
    readonly snapshotId: number;
    readonly role: SnapshotRole;
    readonly key: string;
    readonly parent: string;
    readonly failure: EffectFailure;
  };
  /** Commit was accepted: the name is taken; usage is to be measured, data to be synced. */
  readonly SnapshotCommitStarted: {
    readonly name: string;
    readonly labels: Labels;
    /** The parent from now on: the one of Prepare, or the one that Commit brought. */
    readonly parent: string;
    readonly parentId: number | null;
  };
  /**
   * The snapshot is committed under its name: measured, and from now on unchanged but for labels.
   */
  readonly SnapshotCommitted: {
    readonly operationId: number;
    readonly sizeBytes: number;
    readonly inodeCount: number;
    /** What a block layer holds; null if it is none. */
    readonly block: BlockContent | null;
  };
  /** The snapshot is active again under its key; the name is free. */
  readonly SnapshotCommitFailed: {
    readonly operationId: number;
    readonly failure: EffectFailure;
  };
  /** All labels as they are from now on. */
  readonly SnapshotLabelsUpdated: { readonly labels: Labels };
  /** Removed as far as clients see; its directory waits for Cleanup (`asyncRemove: true`). */
  readonly SnapshotRemoveDeferred: Readonly<Record<never, never>>;
  /** Removed as far as clients see; its directory is being deleted. */
  readonly SnapshotRemoveStarted: Readonly<Record<never, never>>;
  /** Nothing of it is left on disk. */
  readonly SnapshotRemoved: { readonly operationId: number };
  /** Deleting failed; it is tried again. */
  readonly SnapshotRemoveFailed: {
    readonly operationId: number;
    readonly failure: EffectFailure;
  };
}

export type SnapshotEventType = keyof SnapshotEventData;

export type SnapshotEvent = {
  [Type in SnapshotEventType]: RecordedEvent<Type, SnapshotEventData[Type]>;
}[SnapshotEventType];

/** Newest schema version of each type. Stored; a version is never reused for another shape. */
export const snapshotEventVersions: Readonly<Record<SnapshotEventType, number>> = {
  SnapshotPrepared: 3,
  SnapshotPrepareFailed: 1,
  SnapshotCommitStarted: 1,
  SnapshotCommitted: 4,
  SnapshotCommitFailed: 1,
  SnapshotLabelsUpdated: 1,
  SnapshotRemoveDeferred: 1,
  SnapshotRemoveStarted: 1,
  SnapshotRemoved: 1,
  SnapshotRemoveFailed: 1,
};

/** Whether nothing is left of a snapshot after an event of this type. */
export function endsSnapshot(type: string): boolean {
  return type === 'SnapshotRemoved' || type === 'SnapshotPrepareFailed';
}

/** The stream that holds the history of snapshot `snapshotId`. */
export const snapshotStream = (snapshotId: number): string => `snapshot-${snapshotId}`;

/** The id of the snapshot whose history a stream holds; undefined for any other stream. */
export function snapshotIdOf(stream: string): number | undefined {
  const snapshotId = Number(/^snapshot-([1-9]\d*)$/.exec(stream)?.[1]);
  return Number.isSafeInteger(snapshotId) ? snapshotId : undefined;
}
