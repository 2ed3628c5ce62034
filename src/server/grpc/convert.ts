// Between the wire's messages and the engine's types. Nothing here decides; it only translates.
import type { Mount, SnapshotInfo } from '../../engine/api.ts';
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import { accepted, rejected, type Result } from '../../machines/kernel/rejection.ts';
import type { Labels } from '../../machines/snapshot/events.ts';
import { containerd, type google, type varve } from './messages.ts';

type Info = containerd.services.snapshots.v1.Info.$Properties;

const { Kind } = containerd.services.snapshots.v1;
const wireKinds = { view: Kind.VIEW, active: Kind.ACTIVE, committed: Kind.COMMITTED } as const;

const usPerSecond = 1_000_000;

/** Microseconds since the epoch as protobuf's Timestamp. */
export function toTimestamp(timeUs: number): google.protobuf.Timestamp.$Properties {
  const seconds = Math.floor(timeUs / usPerSecond);
  return { seconds, nanos: (timeUs - seconds * usPerSecond) * 1000 };
}

/** containerd's Info. */
export function toInfo(info: SnapshotInfo): Info {
  return {
    name: info.name,
    parent: info.parent,
    kind: wireKinds[info.kind],
    createdAt: toTimestamp(info.createdAtUs),
    updatedAt: toTimestamp(info.updatedAtUs),
    labels: info.labels,
  };
}

/** containerd's Mounts; `target` stays unset. */
export const toMounts = (
  mounts: readonly Mount[],
): { mounts: containerd.types.Mount.$Properties[] } => ({
  mounts: mounts as unknown as containerd.types.Mount.$Properties[],
});

/** The labels of a request; absent means none. A key may be any string, `__proto__` too. */
export const fromLabels = (labels: Labels | null | undefined): Labels => labels ?? {};

/** A position of the log from the wire: 0 if unset; refused if it is not exactly a number. */
export function fromSeq(value: unknown, field: string): Result<number> {
  const seq = value ?? 0;
  if (typeof seq === 'number' && Number.isSafeInteger(seq) && seq >= 0) return accepted(seq);
  return rejected('invalid_argument', `${field} ${JSON.stringify(seq)} is no position of the log`);
}

/** varve.v1.Event */
export function toEvent(event: StoredEvent): varve.v1.Event.$Properties {
  return {
    globalSeq: event.globalSeq,
    stream: event.stream,
    revision: event.revision,
    type: event.type,
    schemaVersion: event.schemaVersion,
    timeUs: event.timeUs,
    cause: event.cause,
    dataJson: JSON.stringify(event.data),
    hash: event.hash,
    previousHash: event.previousHash,
  };
}
