// The effective configuration of `varve serve`. Loaders make it once at start; nothing re-reads it.

export interface Configuration {
  /** Data directory. */
  readonly root: string;
  /** Unix socket of the Snapshots service. */
  readonly address: string;
  /** Unix socket of varve.v1 and the CLI; default: `admin.sock` beside `address`. */
  readonly adminAddress: string;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';
  /** Remove leaves directories for Cleanup. */
  readonly asyncRemove: boolean;
  readonly runtimeType: 'containerd' | 'docker';
  /** `syncfs`: a committed layer's data is durable before Commit answers; `none`: containerd's practice. */
  readonly commitSync: 'syncfs' | 'none';
  /** How long the service waits for one call. */
  readonly callDeadlineMs: number;
  /** Deadline of one effect in a helper process. */
  readonly effectDeadlineMs: number;
  readonly retention: { readonly maxAgeMs: number; readonly maxEventCount: number };
  /** A checkpoint is stored after so many events. */
  readonly checkpointEveryEventCount: number;
}
