// What a snapshot is for, from what its Prepare or View says. Keys are opaque but for these marks,
// which real clients put at the end of theirs; the result is recorded and never derived again.
import type { Labels, SnapshotRole } from './events.ts';

/** Marks the Prepare of an image layer that is about to be unpacked; its value is the chain id. */
export const snapshotRefLabel = 'containerd.io/snapshot.ref';

/** containerd 2.4 and newer: the chain id below, sent although Prepare may name no parent. */
export const parentChainIdLabel = 'containerd.io/snapshot/parent-chain-id';

/** `image`: the Prepare of an image layer, by unpackers that send no other mark. */
export const typeLabel = 'containerd.io/snapshot/type';

const unpackKeyEnd = /sha256:[0-9a-f]{64}$/;
const initKeyEnd = /^[0-9a-f]{64}-init(-key)?$/;

/** The client's own part of a backend key `<namespace>/<number>/<key>`. */
const lastPart = (key: string): string => key.slice(key.lastIndexOf('/') + 1);

export interface RoleRequest {
  readonly kind: 'active' | 'view';
  readonly key: string;
  readonly labels: Labels;
  readonly runtimeType: 'containerd' | 'docker';
}

/** Whether a snapshot is an unpack that names no parent yet, and brings it at Commit. */
export const awaitsParent = (prepared: {
  readonly role: SnapshotRole;
  readonly parent: string;
  readonly labels: Labels;
}): boolean =>
  prepared.role === 'imageLayer' &&
  prepared.parent === '' &&
  Object.hasOwn(prepared.labels, parentChainIdLabel);

export function roleOf({ kind, key, labels, runtimeType }: RoleRequest): SnapshotRole {
  if (kind === 'view') return 'view';
  if (runtimeType === 'docker' && initKeyEnd.test(lastPart(key))) return 'initLayer';
  const isUnpack =
    Object.hasOwn(labels, snapshotRefLabel) ||
    Object.hasOwn(labels, parentChainIdLabel) ||
    labels[typeLabel] === 'image' ||
    unpackKeyEnd.test(key);
  if (isUnpack) return 'imageLayer';
  return 'containerLayer';
}
