// How a node is doing and what it runs with: what Inspect.Status and Inspect.Configuration answer.
import type { DamageReport } from './verification.ts';

/** What `varve status` prints. */
export interface StatusDocument {
  readonly format: 'varve-status';
  readonly version: 1;
  readonly health: 'SERVING' | 'NOT_SERVING';
  /** starting, serving, damaged or stopping. */
  readonly phase: string;
  /** Why it is not serving and what to do; null while it is. */
  readonly reason: string | null;
  /** The version of varve that runs. */
  readonly varveVersion: string;
  readonly pid: number;
  readonly started: string | null;
  readonly root: string;
  readonly address: string;
  readonly adminAddress: string;
  /** First position from which the log is complete. */
  readonly firstSeq: number;
  /** The last durable position. */
  readonly lastSeq: number;
  readonly snapshotCount: number;
  /** Removed snapshots whose directories are still there. */
  readonly pendingRemovalCount: number;
  readonly damage: readonly DamageReport[];
  /** Whether room for the log is low: Prepare and Commit are refused. */
  readonly isSpaceLow: boolean;
}

/** What `varve config dump` prints: the effective values and where each came from, by dotted key. */
export interface ConfigurationDocument {
  readonly format: 'varve-configuration';
  readonly version: 1;
  readonly configuration: Readonly<Record<string, unknown>>;
  readonly origins: Readonly<Record<string, string>>;
}
