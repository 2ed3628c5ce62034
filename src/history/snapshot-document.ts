// One snapshot with everything around it: what Inspect.Snapshot answers and `varve show` prints.
import type { Checkpoint } from '../machines/checkpoint.ts';
import type { StoredEvent } from '../machines/kernel/envelope.ts';
import type { SnapshotState } from '../machines/snapshot/state.ts';
import { kindOf } from '../machines/snapshot/state.ts';
import { deviceSummary, snapshotSummary } from './state-document.ts';
import type { DeviceSummary, SnapshotSummary } from './state-document.ts';
import { isoTime } from './text.ts';

/** A mount as containerd gets it. */
export interface MountDocument {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** Where an event of the snapshot stands. */
export interface EventPosition {
  readonly globalSeq: number;
  readonly revision: number;
  readonly type: string;
  readonly time: string;
}

/** The block device of a snapshot. */
export type SnapshotDevice = Pick<DeviceSummary, 'id' | 'state' | 'path' | 'transport'>;

export interface SnapshotDocument extends SnapshotSummary {
  readonly format: 'varve-snapshot';
  readonly version: 1;
  /** The position of the log that the document is true for. */
  readonly position: number;
  /** The block device that it shows, or that it is read through; null if there is none now. */
  readonly device: SnapshotDevice | null;
  /** What Mounts answers now; null where it would be refused. */
  readonly mounts: readonly MountDocument[] | null;
  /** The ancestors, the nearest first. */
  readonly chain: readonly { readonly id: number; readonly key: string }[];
  readonly children: readonly {
    readonly id: number;
    readonly key: string;
    readonly kind: string | null;
  }[];
  readonly events: readonly EventPosition[];
}

export interface SnapshotDocumentRequest {
  readonly checkpoint: Checkpoint;
  readonly snapshotId: number;
  readonly mounts: readonly MountDocument[] | null;
  /** The events of the snapshot's own stream. */
  readonly events: readonly StoredEvent[];
}

/** The document of one snapshot; undefined if the checkpoint does not hold it. */
export function snapshotDocument(request: SnapshotDocumentRequest): SnapshotDocument | undefined {
  const { checkpoint, snapshotId } = request;
  const byId = new Map(checkpoint.snapshots.map((state) => [state.context.snapshotId, state]));
  const state = byId.get(snapshotId);
  if (state === undefined) return undefined;
  const children = checkpoint.snapshots.filter(
    (other) => other.context.parentId === snapshotId && kindOf(other) !== undefined,
  );
  return {
    format: 'varve-snapshot',
    version: 1,
    position: checkpoint.globalSeq,
    ...snapshotSummary(state),
    device: deviceOf(state, checkpoint),
    mounts: request.mounts,
    chain: chainOf(state, byId),
    children: children.map((child) => ({
      id: child.context.snapshotId,
      key: child.context.key,
      kind: kindOf(child) ?? null,
    })),
    events: request.events.map((event) => ({
      globalSeq: event.globalSeq,
      revision: event.revision,
      type: event.type,
      time: isoTime(event.timeUs),
    })),
  };
}

function deviceOf({ context }: SnapshotState, { devices }: Checkpoint): SnapshotDevice | null {
  const wanted = context.deviceId ?? context.snapshotId;
  const found = devices.find(({ context: { deviceId, path } }) => {
    return deviceId === wanted && path !== null;
  });
  if (found === undefined) return null;
  const { id, state, path, transport } = deviceSummary(found);
  return { id, state, path, transport };
}

function chainOf(
  state: SnapshotState,
  byId: ReadonlyMap<number, SnapshotState>,
): readonly { readonly id: number; readonly key: string }[] {
  const chain: { id: number; key: string }[] = [];
  // A file from elsewhere may claim a circle of parents: each ancestor is visited once.
  const visited = new Set<number>();
  let parentId = state.context.parentId;
  while (parentId !== null && !visited.has(parentId)) {
    visited.add(parentId);
    const parent = byId.get(parentId);
    if (parent === undefined) break;
    chain.push({ id: parentId, key: parent.context.key });
    parentId = parent.context.parentId;
  }
  return chain;
}

/**
 * The snapshot that `wanted` names: a key or name that a client can use, the name that a running
 * Commit has taken, a removed one that is still being deleted, or `#<id>`.
 */
export function findSnapshot(checkpoint: Checkpoint, wanted: string): SnapshotState | undefined {
  const states = checkpoint.snapshots;
  const visible = states.find(
    (state) => kindOf(state) !== undefined && state.context.key === wanted,
  );
  if (visible !== undefined) return visible;
  const becoming = states.find((state) => state.context.operation?.commit?.name === wanted);
  if (becoming !== undefined) return becoming;
  const id = snapshotIdOf(wanted);
  if (id !== undefined) return states.find((state) => state.context.snapshotId === id);
  return states.findLast((state) => state.context.key === wanted);
}

/** The id in `#<id>`; undefined if `wanted` is not written so. */
export function snapshotIdOf(wanted: string): number | undefined {
  const match = /^#(\d{1,15})$/.exec(wanted);
  return match === null ? undefined : Number(match[1]);
}
