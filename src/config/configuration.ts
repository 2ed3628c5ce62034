// The effective configuration of `varve serve`. Loaders make it once at start; nothing re-reads it.

export interface Configuration extends UnusedConfiguration {
  /** Data directory. */
  readonly root: string;
  /** Unix socket of the Snapshots service. */
  readonly address: string;
  /** Unix socket of varve.v1 and the CLI; default: `admin.sock` beside `address`. */
  readonly adminAddress: string;
  readonly logLevel: LogLevel;
  /** Remove leaves directories for Cleanup. */
  readonly asyncRemove: boolean;
  readonly runtimeType: 'containerd' | 'docker';
  /** What containers write: directories over a device, a device of their own, or that itself. */
  readonly rwMode: 'overlayfs' | 'dir' | 'dev';
  readonly writableLayerType: 'append' | 'sparse';
  /** File system of new devices: `name[;mount options[;mkfs arguments]]`. */
  readonly defaultFsType: string;
  /**
   * `syncfs`: a committed layer's data is durable before Commit answers; `none`: containerd's
   * practice.
   */
  readonly commitSync: 'syncfs' | 'none';
  /** Who mounts overlays; `auto`: the kernel where it can, else fuse-overlayfs if it is there. */
  readonly overlay: 'auto' | 'kernel' | 'fuse-overlayfs';
  /** How long the service waits for one call. */
  readonly callDeadlineMs: number;
  /** Deadline of one effect in a helper process. */
  readonly effectDeadlineMs: number;
  /**
   * Whether a device that a container has used is detached after its last lease; if not, it stays
   * until its layer is removed.
   */
  readonly autoRemoveDev: boolean;
  /** How long a device that nobody leases stays attached. */
  readonly lingerMs: number;
  /** Among other snapshotters that use tcmu on the machine; -1: it is the only one. */
  readonly tenant: number;
  /** Size limit of container layers, such as `20g`; '' for none. */
  readonly rootfsQuota: string;
  /** Whether layers are read from registries, where something can and their labels say how. */
  readonly remoteLayers: boolean;
  /** Unix socket of varve-bd. */
  readonly blockDaemonAddress: string;
  /** How block devices reach the kernel; `auto`: the first of the others that there is. */
  readonly transport: 'auto' | 'ublk' | 'tcmu' | 'fuse';
  readonly retention: { readonly maxAgeMs: number; readonly maxEventCount: number };
  /** A checkpoint is stored after so many events. */
  readonly checkpointEveryEventCount: number;
}

/** Upstream's keys whose functions are still to come: only their defaults are accepted. */
interface UnusedConfiguration {
  /** While the metrics are not enabled, any prefix and port are accepted. */
  readonly exporterConfig: {
    readonly enable: boolean;
    readonly uriPrefix: string;
    readonly port: number;
  };
  readonly mirrorRegistry: readonly object[];
  readonly turboFsType: readonly string[];
  readonly logReportCaller: boolean;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/** Where a value came from: `default`, `file …`, `flag --…` or `environment …`. */
export type Origin = string;

/** The origin of each value by its dotted key (`root`, `retention.maxAgeMs`, …). */
export type Origins = Readonly<Record<string, Origin>>;

/** Read when no --config is given and it exists. */
export const defaultConfigPath = '/etc/varve/config.json';

/** Where the Snapshots socket is if nothing says otherwise. */
export const defaultAddress = '/run/varve/varve.sock';

/** File name of the admin socket, beside the Snapshots socket unless it is named. */
export const adminSocketName = 'admin.sock';

/** The admin socket that belongs to a Snapshots socket. */
export function adminAddressBeside(address: string): string {
  return address.slice(0, address.lastIndexOf('/') + 1) + adminSocketName;
}

/** What holds when nothing else is said. */
export const defaultConfiguration: Configuration = {
  root: '/var/lib/varve',
  address: defaultAddress,
  adminAddress: adminAddressBeside(defaultAddress),
  logLevel: 'info',
  asyncRemove: false,
  runtimeType: 'containerd',
  commitSync: 'none',
  overlay: 'auto',
  callDeadlineMs: 120_000,
  effectDeadlineMs: 300_000,
  autoRemoveDev: false,
  lingerMs: 10_000,
  remoteLayers: false,
  blockDaemonAddress: '/run/varve-bd/bd.sock',
  transport: 'auto',
  retention: { maxAgeMs: 7 * 24 * 3600 * 1000, maxEventCount: 1_000_000 },
  checkpointEveryEventCount: 10_000,
  rwMode: 'overlayfs',
  exporterConfig: { enable: false, uriPrefix: '/metrics', port: 9863 },
  writableLayerType: 'append',
  mirrorRegistry: [],
  defaultFsType: 'ext4',
  rootfsQuota: '',
  tenant: -1,
  turboFsType: ['erofs', 'ext4'],
  logReportCaller: false,
};
