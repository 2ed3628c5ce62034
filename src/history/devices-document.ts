// The block devices of a node with what they show, who uses them and what went wrong: what
// Inspect.Devices answers and `varve devices` prints. The shape is public (docs/cli.md, "devices").
import type { BackingStoreFigures, DeviceFigures } from '../engine/ports.ts';
import type { Checkpoint } from '../machines/checkpoint.ts';
import type { DeviceEventData, LeasePurpose } from '../machines/device/events.ts';
import type { DeviceState } from '../machines/device/state.ts';
import type { EffectFailure, RecordedEvent } from '../machines/kernel/envelope.ts';
import { deviceMountPoint } from '../machines/snapshot/mounts.ts';
import type { SnapshotState } from '../machines/snapshot/state.ts';
import { deviceSummary, type DeviceSummary } from './state-document.ts';
import { isoTime } from './text.ts';

/** A layer, or a snapshot that uses one. */
export interface NamedSnapshot {
  readonly id: number;
  /** Null if it is gone, or not there yet. */
  readonly key: string | null;
}

/** The newest time that a device failed or was lost. */
export interface DeviceTrouble {
  readonly globalSeq: number;
  readonly time: string;
  readonly type: 'DeviceAttachFailed' | 'DeviceDetachFailed' | 'DeviceLost';
  readonly reason: string;
  /** Of a failed step; null for a device that was lost. */
  readonly failure: EffectFailure | null;
}

export interface DeviceDocument extends Omit<DeviceSummary, 'leases'> {
  /** Name of the topmost layer that it shows; null if that is gone. */
  readonly key: string | null;
  /** The layers below that one, the nearest first. */
  readonly chain: readonly NamedSnapshot[];
  /** Where it is mounted while it can be used; null otherwise, and where the root is not known. */
  readonly mountPoint: string | null;
  readonly leases: readonly (NamedSnapshot & { readonly purpose: LeasePurpose })[];
  /** What it has done; null where that cannot be asked. */
  readonly figures: Omit<DeviceFigures, 'deviceId'> | null;
  /** As far as recent history tells of it. */
  readonly lastTrouble: DeviceTrouble | null;
}

export interface DevicesDocument {
  readonly format: 'varve-devices';
  readonly version: 1;
  readonly position: number;
  readonly time: string | null;
  /** Why there are no figures; null if there are. */
  readonly figuresMissing: string | null;
  readonly devices: readonly DeviceDocument[];
}

export interface DevicesRequest {
  readonly checkpoint: Checkpoint;
  /** When its last event was recorded. */
  readonly timeUs: number | undefined;
  /** Absolute path of `<root>/snapshots`, where it is known. */
  readonly directory: string | undefined;
  /** What devices do now, or why that is not told. */
  readonly figures: BackingStoreFigures | string;
  readonly troubles: ReadonlyMap<number, DeviceTrouble>;
}

type Snapshots = ReadonlyMap<number, SnapshotState>;

/** The document of a state. */
export function devicesDocument(request: DevicesRequest): DevicesDocument {
  const { checkpoint, timeUs, figures } = request;
  const snapshots = new Map(checkpoint.snapshots.map((one) => [one.context.snapshotId, one]));
  return {
    format: 'varve-devices',
    version: 1,
    position: checkpoint.globalSeq,
    time: timeUs === undefined ? null : isoTime(timeUs),
    figuresMissing: typeof figures === 'string' ? figures : null,
    devices: checkpoint.devices.map((state) => deviceDocument(state, snapshots, request)),
  };
}

function deviceDocument(
  state: DeviceState,
  snapshots: Snapshots,
  { directory, figures, troubles }: DevicesRequest,
): DeviceDocument {
  const { deviceId, leases, plan } = state.context;
  const known = typeof figures === 'string' ? undefined : figures;
  const own = known?.devices.find((one) => one.deviceId === deviceId);
  const isMounted = usable.includes(state.value.attachment) && plan?.mount !== 'none';
  return {
    ...deviceSummary(state),
    key: snapshots.get(deviceId)?.context.key ?? null,
    chain: chainBelow(snapshots.get(deviceId), snapshots),
    mountPoint: isMounted && directory !== undefined ? deviceMountPoint(directory, deviceId) : null,
    leases: leases.map(({ snapshotId, purpose }) => ({
      id: snapshotId,
      key: snapshots.get(snapshotId)?.context.key ?? null,
      purpose,
    })),
    figures: own === undefined ? null : figuresOf(own),
    lastTrouble: troubles.get(deviceId) ?? null,
  };
}

const usable: readonly string[] = ['ready', 'lingering', 'kept'];

const figuresOf = ({ deviceId: _, ...figures }: DeviceFigures): DeviceDocument['figures'] =>
  figures;

function chainBelow(
  state: SnapshotState | undefined,
  snapshots: Snapshots,
): readonly NamedSnapshot[] {
  const chain: NamedSnapshot[] = [];
  // A file from elsewhere may claim a circle of parents: each is visited once.
  const visited = new Set<number>();
  for (let id = state?.context.parentId ?? null; id !== null && !visited.has(id);) {
    visited.add(id);
    const parent = snapshots.get(id);
    chain.push({ id, key: parent?.context.key ?? null });
    id = parent?.context.parentId ?? null;
  }
  return chain;
}

/** The events that tell of trouble. */
export const troubleTypes: readonly string[] = [
  'DeviceAttachFailed',
  'DeviceDetachFailed',
  'DeviceLost',
] satisfies readonly DeviceTrouble['type'][];

/** What an event says if it tells of trouble. */
export function troubleOf({
  type,
  data,
  globalSeq,
  timeUs,
}: RecordedEvent): DeviceTrouble | undefined {
  const common = { globalSeq, time: isoTime(timeUs) };
  switch (type) {
    case 'DeviceLost': {
      const { reason } = data as DeviceEventData['DeviceLost'];
      return { ...common, type, reason, failure: null };
    }
    case 'DeviceAttachFailed':
    case 'DeviceDetachFailed': {
      const { failure } = data as DeviceEventData['DeviceAttachFailed'];
      return { ...common, type, reason: failure.message, failure };
    }
    default:
      return undefined;
  }
}
