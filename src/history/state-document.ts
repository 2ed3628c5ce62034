// The node's whole state as a JSON document: what Inspect.State answers and `varve replay` prints.
// The shape is public (docs/cli.md, "state"): fields are added, never renamed or removed.
import type { Checkpoint } from '../machines/checkpoint.ts';
import type { EffectFailure } from '../machines/kernel/envelope.ts';
import type { SnapshotState } from '../machines/snapshot/state.ts';
import { kindOf } from '../machines/snapshot/state.ts';
import { isoTime } from './text.ts';

/** A snapshot in one place of a document. */
export interface SnapshotSummary {
  readonly id: number;
  /** The key while active or a view, the name once committed. */
  readonly key: string;
  /** null: clients cannot see it (removed, its directory is not yet). */
  readonly kind: 'view' | 'active' | 'committed' | null;
  readonly role: string;
  readonly lifecycle: string;
  readonly backing: string;
  readonly parent: string;
  readonly parentId: number | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly created: string;
  readonly updated: string;
  /** Measured at Commit; null before. */
  readonly usage: { readonly sizeBytes: number; readonly inodeCount: number } | null;
  /** What is going on with it, null if nothing. */
  readonly operation: {
    readonly operationId: number;
    readonly attemptCount: number;
    /** Commit only: the name that it becomes. */
    readonly name: string | null;
  } | null;
  readonly lastFailure: EffectFailure | null;
  readonly revision: number;
  readonly lastSeq: number;
}

export interface NodeSummary {
  readonly version: string;
  readonly bootId: string;
  readonly started: string | null;
  readonly isRunning: boolean;
  readonly horizonSeq: number;
  readonly idsReservedUpTo: number;
  readonly revision: number;
}

export interface StateDocument {
  readonly format: 'varve-state';
  readonly version: 1;
  /** globalSeq of the last event that is folded in. */
  readonly position: number;
  /** When that event was recorded, if known. */
  readonly time: string | null;
  readonly node: NodeSummary;
  readonly snapshots: readonly SnapshotSummary[];
}

/** The document of a state; `timeUs` is when its last event was recorded. */
export function stateDocument(checkpoint: Checkpoint, timeUs?: number): StateDocument {
  const { node } = checkpoint;
  return {
    format: 'varve-state',
    version: 1,
    position: checkpoint.globalSeq,
    time: timeUs === undefined ? null : isoTime(timeUs),
    node: {
      version: node.version,
      bootId: node.bootId,
      started: node.startedAtUs === 0 ? null : isoTime(node.startedAtUs),
      isRunning: node.isRunning,
      horizonSeq: node.horizonSeq,
      idsReservedUpTo: node.idsReservedUpTo,
      revision: node.revision,
    },
    snapshots: checkpoint.snapshots.map(snapshotSummary),
  };
}

/** The document's JSON, snapshot by snapshot, since that of a large node is not small. */
export function* stateDocumentTexts(checkpoint: Checkpoint, timeUs?: number): Generator<string> {
  const empty = JSON.stringify(stateDocument({ ...checkpoint, snapshots: [] }, timeUs));
  const end = ']}';
  yield empty.slice(0, -end.length);
  let separator = '';
  for (const state of checkpoint.snapshots) {
    yield separator + JSON.stringify(snapshotSummary(state));
    separator = ',';
  }
  yield end;
}

/** The summary of one snapshot. */
export function snapshotSummary(state: SnapshotState): SnapshotSummary {
  const { context, value } = state;
  const kind = kindOf(state) ?? null;
  const isMeasured = context.inodeCount > 0 || context.sizeBytes > 0 || kind === 'committed';
  return {
    id: context.snapshotId,
    key: context.key,
    kind,
    role: context.role,
    lifecycle: value.lifecycle,
    backing: value.backing,
    parent: context.parent,
    parentId: context.parentId,
    labels: context.labels,
    created: isoTime(context.createdAtUs),
    updated: isoTime(context.updatedAtUs),
    usage: isMeasured ? { sizeBytes: context.sizeBytes, inodeCount: context.inodeCount } : null,
    operation:
      context.operation === null
        ? null
        : {
            operationId: context.operation.operationId,
            attemptCount: context.operation.attemptCount,
            name: context.operation.commit?.name ?? null,
          },
    lastFailure: context.lastFailure,
    revision: state.revision,
    lastSeq: state.lastSeq,
  };
}
