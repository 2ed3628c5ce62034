// The events of a snapshot's stream (`snapshot-<id>`). Past tense; never refused on replay; never
// edited: a changed shape gets a new schemaVersion and an upcaster, a changed meaning a new type.
import type { EffectFailure, RecordedEvent } from '../kernel/envelope.ts';

/** What a snapshot is for; chosen at Prepare or View, recorded once, never guessed again. */
export type SnapshotRole = 'imageLayer' | 'initLayer' | 'containerLayer' | 'view';

/** What holds a snapshot's data: plain files, or one overlaybd layer that is a block device's. */
export type SnapshotBacking = 'directory' | 'localBlock';

/** What is on the device that ends with a block layer. */
export interface BlockContent {
  /** As mount(2) takes it: `ext4`, `xfs`, `erofs`, … */
  readonly fileSystem: string;
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
    /** The device that it leases: that of the nearest block layer below; null if none. */
    readonly deviceId: number | null;
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
  SnapshotPrepared: 2,
  SnapshotPrepareFailed: 1,
  SnapshotCommitStarted: 1,
  SnapshotCommitted: 2,
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
