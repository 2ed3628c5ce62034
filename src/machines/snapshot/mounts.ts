// The mounts that a directory-backed snapshot is used by. The table is part of the contract with
// clients: type, source, options and their order.
import type { SnapshotRole } from './events.ts';

/** A mount as containerd gets it. */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface MountRequest {
  readonly snapshotId: number;
  readonly role: SnapshotRole;
  /** Whether it is an unpack that brings its parent at Commit. */
  readonly awaitsParent: boolean;
  /** Ids of all ancestors, nearest first. */
  readonly ancestorIds: readonly number[];
  /** Absolute path of `<root>/snapshots`. */
  readonly directory: string;
  /** Whether the kernel's overlay has the `index` parameter, which must be off. */
  readonly indexOff: boolean;
}

export function mountsOf(request: MountRequest): readonly Mount[] {
  const { snapshotId, role, ancestorIds, directory, indexOff } = request;
  const fs = (id: number): string => `${directory}/${id}/fs`;
  const [nearest, ...others] = ancestorIds;
  if (nearest === undefined) {
    if (role === 'view') return [bind(fs(snapshotId), 'ro')];
    // Whiteouts survive only if the client takes the mount for an overlay; in a bind mount it would
    // drop them without a word.
    if (request.awaitsParent) {
      return [{ type: 'overlay', source: 'overlay', options: [`upperdir=${fs(snapshotId)}`] }];
    }
    return [bind(fs(snapshotId), 'rw')];
  }
  if (role === 'view' && others.length === 0) return [bind(fs(nearest), 'ro')];
  const upper =
    role === 'view'
      ? []
      : [`workdir=${directory}/${snapshotId}/work`, `upperdir=${fs(snapshotId)}`];
  const options = [
    ...(indexOff ? ['index=off'] : []),
    ...upper,
    `lowerdir=${ancestorIds.map(fs).join(':')}`,
  ];
  return [{ type: 'overlay', source: 'overlay', options }];
}

const bind = (source: string, access: 'ro' | 'rw'): Mount => ({
  type: 'bind',
  source,
  options: [access, 'rbind'],
});
