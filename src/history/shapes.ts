// The shapes of what a history file may hold. A file comes from another machine and may be damaged
// or made to do harm: nothing of it reaches a fold or a sentence before its shape is checked here.
import type { DeviceEventType } from '../machines/device/events.ts';
import type { NodeEventType } from '../machines/node/events.ts';
import type { SnapshotEventType } from '../machines/snapshot/events.ts';

/** Answers whether a value is as wanted. */
export type Check = (value: unknown) => boolean;
/** Checks by field; a field that is absent is checked as undefined. */
export type Shape = Readonly<Record<string, Check>>;

type JsonObject = Readonly<Record<string, unknown>>;

/** Whether `value` is a JSON object (no array, not null). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The first field of `value` that is not of its shape; undefined if all are. */
export function misshapen(value: unknown, shape: Shape): string | undefined {
  if (!isJsonObject(value)) return '(not an object)';
  return Object.keys(shape).find(
    (field) => !(shape[field] as Check)(Object.hasOwn(value, field) ? value[field] : undefined),
  );
}

export const isText: Check = (value) => typeof value === 'string';
export const isBoolean: Check = (value) => typeof value === 'boolean';
/** A whole number from 0 that JavaScript holds exactly. */
export const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
/** A position: a whole number from 1. */
export const isPosition: Check = (value) => isCount(value) && value !== 0;
// The farthest time that a Date can show.
const timeUsMax = 8.64e15;
/** Microseconds since the epoch. */
export const isTimeUs: Check = (value) => isCount(value) && (value as number) <= timeUsMax;
/** A hash in hexadecimal. */
export const isHash: Check = (value) => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);

const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const orAbsent =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const oneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && values.includes(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const shaped =
  (shape: Shape): Check =>
  (value) =>
    misshapen(value, shape) === undefined;

const isLabels: Check = (value) => isJsonObject(value) && Object.values(value).every(isText);
const isRole = oneOf('imageLayer', 'initLayer', 'containerLayer', 'view');
const isBacking = oneOf('directory', 'writableBlock', 'localBlock', 'remoteBlock');
const isMode = oneOf('overlayfs', 'dir', 'dev');
const isLayerType = oneOf('append', 'sparse');
const isLayerFile = oneOf('overlaybd.commit', 'overlaybd.sealed');
const isBlockContent = shaped({
  ...{ fileSystem: isText, mountOptions: isText },
  layerFile: orNull(isLayerFile),
});
// Before checkpoint version 4 it did not name the file, before version 5 no options.
const isKeptBlockContent = shaped({
  ...{ fileSystem: isText, mountOptions: orAbsent(isText) },
  layerFile: orAbsent(orNull(isLayerFile)),
});
const isRemoteLayer = shaped({ repoBlobUrl: isText, digest: isText, sizeBytes: isCount });
const isWritableBlock = shaped({
  layerType: isLayerType,
  sizeGib: orNull(isPosition),
  fileSystem: isText,
  mountOptions: isText,
  formatArguments: orNull(listOf(isText)),
});
const isFailure = shaped({ step: isText, code: isText, message: isText, path: orAbsent(isText) });
const isRange = shaped({ fromSeq: isCount, toSeq: isCount });

const isPurpose = oneOf('container', 'initLayer', 'view', 'unpack', 'operator');
const isWritableLayer = shaped({
  layerType: isLayerType,
  sizeGib: orNull(isPosition),
  parentId: orNull(isPosition),
});
const planShape: Shape = {
  access: oneOf('readOnly', 'writable'),
  writableLayer: orNull(isWritableLayer),
  mount: oneOf('readOnly', 'readWrite', 'none'),
  fileSystem: isText,
  mountOptions: isText,
  formatArguments: orNull(listOf(isText)),
};
const isPlan = shaped(planShape);
// Before checkpoint version 4 no device was written.
const isKeptPlan = shaped({ ...planShape, writableLayer: orAbsent(orNull(isWritableLayer)) });

const parentage: Shape = { parent: isText, parentId: orNull(isPosition) };
const outcome: Shape = { operationId: isPosition };
const failedOutcome: Shape = { ...outcome, failure: isFailure };

/** The data of each event type at its newest version. */
export const eventDataShapes: Readonly<
  Record<SnapshotEventType | DeviceEventType | NodeEventType, Shape>
> = {
  SnapshotPrepared: {
    snapshotId: isPosition,
    role: isRole,
    key: isText,
    ...parentage,
    labels: isLabels,
    backing: isBacking,
    deviceId: orNull(isPosition),
    mode: isMode,
    writable: orNull(isWritableBlock),
    remote: orNull(isRemoteLayer),
    quotaBytes: orNull(isCount),
  },
  SnapshotPrepareFailed: {
    snapshotId: isPosition,
    role: isRole,
    key: isText,
    parent: isText,
    failure: isFailure,
  },
  SnapshotCommitStarted: { name: isText, labels: isLabels, ...parentage },
  SnapshotCommitted: {
    ...{ ...outcome, sizeBytes: isCount, inodeCount: isCount },
    block: orNull(isBlockContent),
  },
  SnapshotCommitFailed: failedOutcome,
  SnapshotLabelsUpdated: { labels: isLabels },
  SnapshotRemoveDeferred: {},
  SnapshotRemoveStarted: {},
  SnapshotRemoved: outcome,
  SnapshotRemoveFailed: failedOutcome,
  DeviceLeased: { deviceId: isPosition, snapshotId: isPosition, purpose: isPurpose },
  DeviceReleased: { snapshotId: isPosition },
  DeviceAttachStarted: { plan: isPlan },
  DeviceAttached: { ...outcome, path: isText, sizeBytes: isCount, transport: isText },
  DeviceFormatted: outcome,
  DeviceMounted: outcome,
  DeviceAttachFailed: failedOutcome,
  DeviceLingerStarted: { untilUs: isTimeUs },
  DeviceKept: {},
  DeviceDetachStarted: {},
  DeviceUnmounted: outcome,
  DeviceDetached: outcome,
  DeviceDetachFailed: failedOutcome,
  DeviceLost: { reason: isText },
  NodeStarted: { version: isText, bootId: isText, pid: isCount },
  NodeStopped: { reason: isText },
  IdsReserved: { fromId: isCount, upTo: isCount },
  OrphansRemoved: { snapshotIds: listOf(isPosition) },
  LogCompacted: { horizonSeq: isCount, removedEventCount: isCount },
  LogRepaired: {
    lost: listOf(isRange),
    resumedAtSeq: isCount,
    orphansKeptUpTo: isCount,
    idsReservedUpTo: isCount,
  },
};

/** The envelope of an event in a file. */
export const eventShape: Shape = {
  globalSeq: isPosition,
  stream: (value) =>
    typeof value === 'string' && /^(?:node|(?:snapshot|device)-[1-9]\d{0,14})$/.test(value),
  revision: isPosition,
  type: isText,
  schemaVersion: isPosition,
  timeUs: isTimeUs,
  cause: shaped({
    kind: oneOf('rpc', 'recovery', 'operator', 'timer', 'effect'),
    method: orAbsent(isText),
    requestId: orAbsent(isText),
    namespace: orAbsent(isText),
  }),
  data: isJsonObject,
  hash: isHash,
  previousHash: isHash,
};

const isCommit = shaped({ name: isText, labels: isLabels, ...parentage });

/** A snapshot's state in the checkpoint of a file. */
export const snapshotStateShape: Shape = {
  value: shaped({
    lifecycle: oneOf(
      'absent',
      'active',
      'viewing',
      'committing',
      'committed',
      'removeDeferred',
      'removing',
      'removed',
      'failed',
    ),
    backing: oneOf('unassigned', 'directory', 'writableBlock', 'localBlock', 'remoteBlock'),
  }),
  context: shaped({
    snapshotId: isPosition,
    role: isRole,
    key: isText,
    ...parentage,
    // Since checkpoint version 2.
    awaitsParent: orAbsent(isBoolean),
    // Since checkpoint version 3.
    deviceId: orAbsent(orNull(isPosition)),
    block: orAbsent(orNull(isKeptBlockContent)),
    // Since checkpoint version 4.
    mode: orAbsent(isMode),
    writable: orAbsent(orNull(isWritableBlock)),
    remote: orAbsent(orNull(isRemoteLayer)),
    quotaBytes: orAbsent(orNull(isCount)),
    labels: isLabels,
    createdAtUs: isTimeUs,
    updatedAtUs: isTimeUs,
    sizeBytes: isCount,
    inodeCount: isCount,
    operation: orNull(
      shaped({ operationId: isPosition, attemptCount: isCount, commit: orNull(isCommit) }),
    ),
    lastFailure: orNull(isFailure),
  }),
  revision: isCount,
  lastSeq: isCount,
};

/** A device's state in the checkpoint of a file. */
export const deviceStateShape: Shape = {
  value: shaped({
    attachment: oneOf(
      'absent',
      'attaching',
      'formatting',
      'mounting',
      'ready',
      'lingering',
      'kept',
      'unmounting',
      'detaching',
      'failed',
      'lost',
    ),
  }),
  context: shaped({
    deviceId: isPosition,
    leases: listOf(shaped({ snapshotId: isPosition, purpose: isPurpose })),
    plan: orNull(isKeptPlan),
    path: orNull(isText),
    // Since checkpoint version 6.
    transport: orAbsent(orNull(isText)),
    sizeBytes: isCount,
    servedContainer: isBoolean,
    operation: orNull(shaped({ operationId: isPosition, attemptCount: isCount })),
    isUndoing: isBoolean,
    failureCount: isCount,
    lingerUntilUs: orNull(isTimeUs),
    lastFailure: orNull(isFailure),
  }),
  revision: isCount,
  lastSeq: isCount,
};

/** The node's state in the checkpoint of a file. */
export const nodeStateShape: Shape = {
  revision: isCount,
  idsReservedUpTo: isCount,
  bootId: isText,
  version: isText,
  startedAtUs: isTimeUs,
  isRunning: isBoolean,
  horizonSeq: isCount,
};
