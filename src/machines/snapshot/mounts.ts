// The mounts that a snapshot is used by. The table is part of the contract with
// clients: type, source, options and their order.
import { invariant } from '../kernel/invariant.ts';
import type { MountMode, SnapshotRole } from './events.ts';

/** A mount as containerd gets it. */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** One read-only directory beneath: an ordinary layer's own, or where a device is mounted. */
export interface Lower {
  readonly snapshotId: number;
  readonly kind: 'directory' | 'device';
}

/** The type of an overlay's mount: the kernel's own, or that of a program in user space. */
export type OverlayType = 'overlay' | 'fuse3.fuse-overlayfs';

/** A device that clients mount themselves. */
export interface MountableDevice {
  /** `/dev/…` */
  readonly path: string;
  readonly fileSystem: string;
  /** Options of mount(2), joined by commas; '' for none. */
  readonly mountOptions: string;
}

export interface MountRequest {
  readonly snapshotId: number;
  readonly role: SnapshotRole;
  readonly mode: MountMode;
  /** With mode `dev`: the device that the snapshot leases. */
  readonly device: MountableDevice | null;
  /** Whether its layer is read from a registry: there is nothing to unpack. */
  readonly isRemote: boolean;
  /** Whether it is an unpack that brings its parent at Commit. */
  readonly awaitsParent: boolean;
  /** What lies below, nearest first; a device ends it, since it shows all that is below itself. */
  readonly lowers: readonly Lower[];
  /** Absolute path of `<root>/snapshots`. */
  readonly directory: string;
  /** Whether the kernel's overlay has the `index` parameter, which must be off. */
  readonly indexOff: boolean;
  readonly overlayType: OverlayType;
}

/** Where the device of a snapshot is mounted; `directory` is `<root>/snapshots`. */
export const deviceMountPoint = (directory: string, deviceId: number): string =>
  `${directory}/${deviceId}/block/mountpoint`;

export function mountsOf(request: MountRequest): readonly Mount[] {
  const { snapshotId, role, mode, device, lowers, directory, indexOff } = request;
  if (mode === 'dev') {
    invariant(device !== null, 'a device that clients mount is attached');
    return [deviceMount(device, role === 'view' ? 'ro' : 'rw')];
  }
  if (mode === 'dir') return [bind(deviceMountPoint(directory, snapshotId), 'rw')];
  const fs = (id: number): string => `${directory}/${id}/fs`;
  const pathOf = (lower: Lower): string =>
    lower.kind === 'directory'
      ? fs(lower.snapshotId)
      : deviceMountPoint(directory, lower.snapshotId);
  // Clients take a layer for complete whose mount is read-only.
  if (request.isRemote) return [bind(fs(snapshotId), 'ro')];
  const [nearest, ...others] = lowers;
  if (nearest === undefined) {
    if (role === 'view') return [bind(fs(snapshotId), 'ro')];
    // Whiteouts survive only if the client takes the mount for an overlay; in a bind mount it would
    // drop them without a word.
    if (request.awaitsParent) {
      return [{ type: 'overlay', source: 'overlay', options: [`upperdir=${fs(snapshotId)}`] }];
    }
    return [bind(fs(snapshotId), 'rw')];
  }
  if (role === 'view' && others.length === 0) return [bind(pathOf(nearest), 'ro')];
  // Docker only puts files into an init layer. An overlay that a Docker that was killed left behind
  // would keep the device in use for ever.
  const isOnDevice = lowers.some(({ kind }) => kind === 'device');
  if (role === 'initLayer' && isOnDevice) return [bind(fs(snapshotId), 'rw')];
  const upper =
    role === 'view'
      ? []
      : [`workdir=${directory}/${snapshotId}/work`, `upperdir=${fs(snapshotId)}`];
  const options = [
    ...(indexOff ? ['index=off'] : []),
    ...upper,
    `lowerdir=${lowers.map(pathOf).join(':')}`,
  ];
  return [{ type: request.overlayType, source: 'overlay', options }];
}

function deviceMount(
  { path, fileSystem, mountOptions }: MountableDevice,
  access: 'ro' | 'rw',
): Mount {
  const more = mountOptions === '' ? [] : mountOptions.split(',');
  return { type: fileSystem, source: path, options: [access, ...more] };
}

const bind = (source: string, access: 'ro' | 'rw'): Mount => ({
  type: 'bind',
  source,
  options: [access, 'rbind'],
});
