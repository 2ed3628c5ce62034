// A checkpoint: the folded state of everything at one position of the log. Plain JSON; disposable,
// except the one at the compaction horizon, from which all later history folds.
import { deviceStream, type DevicePlan } from './device/events.ts';
import type { DeviceState } from './device/state.ts';
import { transportOfOld } from './device/upcast.ts';
import { nodeStream } from './node/events.ts';
import type { NodeState } from './node/state.ts';
import { snapshotStream } from './snapshot/events.ts';
import type { BlockContent } from './snapshot/events.ts';
import { awaitsParent } from './snapshot/role.ts';
import { kindOf, type SnapshotState } from './snapshot/state.ts';
import { withMountOptions } from './snapshot/upcast.ts';

/** Version of this shape. Stored. */
export const checkpointVersion = 6;

export interface Checkpoint {
  readonly checkpointVersion: number;
  readonly globalSeq: number;
  readonly node: NodeState;
  /** Every snapshot that is not yet removed, by ascending id. */
  readonly snapshots: readonly SnapshotState[];
  /** Every device whose snapshot is not yet removed, or of which something is left, by its id. */
  readonly devices: readonly DeviceState[];
}

/** Every stream that goes on behind a checkpoint, the node's first. */
export const liveStreamsOf = ({ snapshots, devices }: Checkpoint): readonly string[] => [
  nodeStream,
  ...snapshots.map(({ context }) => snapshotStream(context.snapshotId)),
  ...devices.map(({ context }) => deviceStream(context.deviceId)),
];

/** A checkpoint of an older version as it is stored: what came later is missing. */
export type StoredCheckpoint = Omit<Checkpoint, 'devices'> & Partial<Pick<Checkpoint, 'devices'>>;

/** A stored checkpoint of any known version in the newest shape; undefined if it is not known. */
export function upcastCheckpoint(stored: StoredCheckpoint): Checkpoint | undefined {
  const { devices = [], snapshots } = stored;
  const newest = { ...stored, checkpointVersion };
  switch (stored.checkpointVersion) {
    case checkpointVersion:
      return { ...stored, devices };
    case 5:
      return { ...newest, devices: devices.map(deviceFromVersion5) };
    case 4:
      return {
        ...newest,
        snapshots: snapshots.map(fromVersion4),
        devices: devices.map(deviceFromVersion5),
      };
    case 3:
      return {
        ...newest,
        snapshots: snapshots.map(fromVersion3).map(fromVersion4),
        devices: devices.map(deviceFromVersion3).map(deviceFromVersion5),
      };
    case 2:
      return { ...newest, snapshots: snapshots.map(fromVersion2).map(fromVersion3), devices };
    case 1:
      return {
        ...{ ...newest, devices },
        snapshots: snapshots.map(fromVersion1).map(fromVersion2).map(fromVersion3),
      };
    default:
      return undefined;
  }
}

/** The same state in every shape that it has had: histories hold hashes of older ones. */
export function shapesOf(checkpoint: Checkpoint): readonly StoredCheckpoint[] {
  const { devices, ...older } = checkpoint;
  const snapshotsOf4 = checkpoint.snapshots.map(toVersion4);
  const snapshotsOf3 = snapshotsOf4.map(toVersion3);
  const snapshots = snapshotsOf3.map(toVersion2);
  const devicesOf5 = devices.map(deviceToVersion5);
  return [
    checkpoint,
    { ...older, checkpointVersion: 5, devices: devicesOf5 },
    { ...{ ...older, checkpointVersion: 4, snapshots: snapshotsOf4 }, devices: devicesOf5 },
    {
      ...{ ...older, checkpointVersion: 3, snapshots: snapshotsOf3 },
      devices: devicesOf5.map(deviceToVersion3),
    },
    { ...older, checkpointVersion: 2, snapshots },
    { ...older, checkpointVersion: 1, snapshots: snapshots.map(toVersion1) },
  ];
}

// Before version 6 there was one transport alone.
function deviceFromVersion5(state: DeviceState): DeviceState {
  const transport = state.context.path === null ? null : transportOfOld;
  return { ...state, context: { ...state.context, transport } };
}

function deviceToVersion5(state: DeviceState): DeviceState {
  const { transport: _, ...context } = state.context;
  return { ...state, context: context as DeviceState['context'] };
}

// Before version 5 the file system alone decided how it is mounted.
function fromVersion4(state: SnapshotState): SnapshotState {
  const { block } = state.context;
  if (block === null) return state;
  return { ...state, context: { ...state.context, block: withMountOptions(block) } };
}

function toVersion4(state: SnapshotState): SnapshotState {
  if (state.context.block === null) return state;
  const { mountOptions: _, ...block } = state.context.block;
  return { ...state, context: { ...state.context, block: block as BlockContent } };
}

// Version 3 knew neither writable block layers nor remote ones.
function fromVersion3(state: SnapshotState): SnapshotState {
  const { block } = state.context;
  const layer =
    block === null ? null : ({ ...block, layerFile: 'overlaybd.commit' } as BlockContent);
  const written = { mode: 'overlayfs', writable: null, remote: null, quotaBytes: null } as const;
  const context = { ...state.context, ...written, block: layer };
  return { ...state, context };
}

function toVersion3(state: SnapshotState): SnapshotState {
  const { mode: _, writable: __, remote: ___, quotaBytes: ____, block, ...rest } = state.context;
  const layer = block === null ? null : { fileSystem: block.fileSystem };
  const context = { ...rest, block: layer } as SnapshotState['context'];
  return { ...state, context };
}

function deviceFromVersion3(state: DeviceState): DeviceState {
  const { plan } = state.context;
  if (plan === null) return state;
  return { ...state, context: { ...state.context, plan: { ...plan, writableLayer: null } } };
}

function deviceToVersion3(state: DeviceState): DeviceState {
  if (state.context.plan === null) return state;
  const { writableLayer: _, ...plan } = state.context.plan;
  return { ...state, context: { ...state.context, plan: plan as DevicePlan } };
}

// Version 2 knew neither devices nor block layers.
function fromVersion2(state: SnapshotState): SnapshotState {
  return { ...state, context: { ...state.context, deviceId: null, block: null } };
}

function toVersion2(state: SnapshotState): SnapshotState {
  const { deviceId: _, block: __, ...context } = state.context;
  return { ...state, context: context as SnapshotState['context'] };
}

// Version 1 had no `awaitsParent`: there the labels as they are now told.
function fromVersion1(state: SnapshotState): SnapshotState {
  const isWritten = kindOf(state) === 'active';
  const context = { ...state.context, awaitsParent: isWritten && awaitsParent(state.context) };
  return { ...state, context };
}

function toVersion1(state: SnapshotState): SnapshotState {
  const { awaitsParent: _, ...context } = state.context;
  return { ...state, context: context as SnapshotState['context'] };
}
