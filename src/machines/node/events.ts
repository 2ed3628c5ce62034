// The events of the `node` stream: starts, stops, reserved ids, compaction, repair.
import type { RecordedEvent } from '../kernel/envelope.ts';

export interface NodeEventData {
  /** A server opened the log and took the root. */
  readonly NodeStarted: {
    readonly version: string;
    /** The kernel's boot id: a new one means that the machine was restarted in between. */
    readonly bootId: string;
    readonly pid: number;
  };
  /** A server ended in order. */
  readonly NodeStopped: { readonly reason: string };
  /**
   * Ids from `fromId` to `upTo` may have been handed out; a later start begins above them. What
   * lies between them and those that were reserved before, this log knows nothing of.
   */
  readonly IdsReserved: { readonly fromId: number; readonly upTo: number };
  /**
   * Directories found without a record, of ids that were handed out before a crash, were deleted.
   */
  readonly OrphansRemoved: { readonly snapshotIds: readonly number[] };
  /** History up to `horizonSeq` was dropped, but for snapshots that lived there. */
  readonly LogCompacted: { readonly horizonSeq: number; readonly removedEventCount: number };
  /**
   * `varve repair` rebuilt the log; `lost` are ranges of globalSeq within which events could not be
   * saved. The log goes on after its old end: no position is used twice.
   */
  readonly LogRepaired: {
    readonly lost: readonly { readonly fromSeq: number; readonly toSeq: number }[];
    /** The state after all losses: history folds from here on. 0 if nothing was lost. */
    readonly resumedAtSeq: number;
    /**
     * Directories without a record up to this id are kept from now on; 0 if their records cannot be
     * among what was lost.
     */
    readonly orphansKeptUpTo: number;
    /** Ids up to this one may have been handed out by events that were lost. */
    readonly idsReservedUpTo: number;
  };
}

export type NodeEventType = keyof NodeEventData;

export type NodeEvent = {
  [Type in NodeEventType]: RecordedEvent<Type, NodeEventData[Type]>;
}[NodeEventType];

/** Newest schema version of each type. Stored; a version is never reused for another shape. */
export const nodeEventVersions: Readonly<Record<NodeEventType, number>> = {
  NodeStarted: 1,
  NodeStopped: 1,
  IdsReserved: 2,
  OrphansRemoved: 1,
  LogCompacted: 1,
  LogRepaired: 2,
};

/** The one stream of node events. */
export const nodeStream = 'node';
