// All event types of all streams: their newest versions and the upcasters of older ones.
import { deviceEventVersions, type DeviceEvent } from './device/events.ts';
import type { RecordedEvent } from './kernel/envelope.ts';
import { upcast, type Upcasters } from './kernel/upcast.ts';
import { nodeEventVersions, type NodeEvent } from './node/events.ts';
import { idsReservedFromVersion1, logRepairedFromVersion1 } from './node/upcast.ts';
import { snapshotEventVersions, type SnapshotEvent } from './snapshot/events.ts';
import { attachedFromVersion1, attachStartedFromVersion1 } from './device/upcast.ts';
import {
  committedFromVersion1,
  committedFromVersion2,
  committedFromVersion3,
  preparedFromVersion1,
  preparedFromVersion2,
} from './snapshot/upcast.ts';

export type DomainEvent = SnapshotEvent | DeviceEvent | NodeEvent;

/** Newest schema version by event type. */
export const eventVersions: Readonly<Record<string, number>> = {
  ...snapshotEventVersions,
  ...deviceEventVersions,
  ...nodeEventVersions,
};

/** From an older version's data to the next. */
export const upcasters: Upcasters = {
  'IdsReserved@1': idsReservedFromVersion1,
  'LogRepaired@1': logRepairedFromVersion1,
  'SnapshotPrepared@1': preparedFromVersion1,
  'SnapshotPrepared@2': preparedFromVersion2,
  'SnapshotCommitted@1': committedFromVersion1,
  'SnapshotCommitted@2': committedFromVersion2,
  'SnapshotCommitted@3': committedFromVersion3,
  'DeviceAttachStarted@1': attachStartedFromVersion1,
  'DeviceAttached@1': attachedFromVersion1,
};

/** The event at its newest version, typed. Throws for one that only a newer program knows. */
export function toDomainEvent(event: RecordedEvent): DomainEvent {
  return upcast(event, eventVersions, upcasters) as DomainEvent;
}

export function isDeviceEvent(event: DomainEvent): event is DeviceEvent {
  return Object.hasOwn(deviceEventVersions, event.type);
}

export function isNodeEvent(event: DomainEvent): event is NodeEvent {
  return Object.hasOwn(nodeEventVersions, event.type);
}
