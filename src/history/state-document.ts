// The node's whole state as a JSON document: what Inspect.State answers and `varve replay` prints.
// The shape is public (docs/cli.md, "state"): fields are added, never renamed or removed.
import type { Checkpoint } from '../machines/checkpoint.ts';
import type { DevicePlan, LeasePurpose } from '../machines/device/events.ts';
import type { DeviceState } from '../machines/device/state.ts';
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
  /** The device that it leases; null if none. */
  readonly deviceId: number | null;
  /** What clients mount: directories, the place of its device, or that itself. */
  readonly mode: string;
  /** How much may be written into its directory, in bytes; null for no limit. */
  readonly quotaBytes: number | null;
  /** Of a block layer: the file system on its device; null for any other. */
  readonly fileSystem: string | null;
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

/** A block device in one place of a document. */
export interface DeviceSummary {
  /** The snapshot whose chain it presents. */
  readonly id: number;
  readonly state: string;
  /** `/dev/…` while the kernel has it. */
  readonly path: string | null;
  /** How it reaches the kernel while that has it: `fuse`, `ublk` or `tcmu`. */
  readonly transport: string | null;
  readonly sizeBytes: number | null;
  readonly access: DevicePlan['access'] | null;
  readonly mount: DevicePlan['mount'] | null;
  readonly fileSystem: string | null;
  /** Options of mount(2), joined by commas; '' for none. */
  readonly mountOptions: string | null;
  readonly leases: readonly { readonly snapshotId: number; readonly purpose: LeasePurpose }[];
  /** When it is detached unless somebody leases it; null if it does not linger. */
  readonly lingersUntil: string | null;
  /** What is going on with it, null if nothing. */
  readonly operation: { readonly operationId: number; readonly attemptCount: number } | null;
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
  readonly devices: readonly DeviceSummary[];
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
    devices: checkpoint.devices.map(deviceSummary),
  };
}

/** The document's JSON, snapshot by snapshot, since that of a large node is not small. */
export function* stateDocumentTexts(checkpoint: Checkpoint, timeUs?: number): Generator<string> {
  const {
    snapshots: _,
    devices: __,
    ...head
  } = stateDocument({ ...checkpoint, snapshots: [], devices: [] }, timeUs);
  yield `${JSON.stringify(head).slice(0, -1)},"snapshots":[`;
  yield* listTexts(checkpoint.snapshots, snapshotSummary);
  yield '],"devices":[';
  yield* listTexts(checkpoint.devices, deviceSummary);
  yield ']}';
}

function* listTexts<State>(
  states: readonly State[],
  summaryOf: (state: State) => object,
): Generator<string> {
  let separator = '';
  for (const state of states) {
    yield separator + JSON.stringify(summaryOf(state));
    separator = ',';
  }
}

/** The summary of one device. */
export function deviceSummary({ value, context, revision, lastSeq }: DeviceState): DeviceSummary {
  const { deviceId, plan, path, transport, leases, lingerUntilUs, operation } = context;
  return {
    id: deviceId,
    state: value.attachment,
    path,
    transport,
    sizeBytes: path === null ? null : context.sizeBytes,
    access: plan?.access ?? null,
    mount: plan?.mount ?? null,
    fileSystem: plan?.fileSystem ?? null,
    mountOptions: plan?.mountOptions ?? null,
    leases,
    lingersUntil: lingerUntilUs === null ? null : isoTime(lingerUntilUs),
    operation,
    lastFailure: context.lastFailure,
    revision,
    lastSeq,
  };
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
    deviceId: context.deviceId,
    mode: context.mode,
    quotaBytes: context.quotaBytes,
    fileSystem: context.block?.fileSystem ?? context.writable?.fileSystem ?? null,
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
