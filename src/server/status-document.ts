// What Inspect.Status answers: whether the node serves, and if not, why and what to run.
import { statfs } from 'node:fs/promises';
import type { Configuration } from '../config/configuration.ts';
import type { Damage, SpaceGuard } from '../engine/ports.ts';
import { kindOf } from '../machines/snapshot/state.ts';
import type { NodeAccess } from './node-access.ts';

export interface StatusDocument {
  readonly format: 'varve-status';
  readonly version: 1;
  readonly varveVersion: string;
  readonly pid: number;
  readonly bootId: string;
  readonly startedAt: string;
  readonly condition: 'starting' | 'serving' | 'damaged' | 'disk-full' | 'stopping';
  /** What is wrong and what to run; null if nothing is. */
  readonly problem: string | null;
  /** Of the log while the condition is `damaged`; otherwise of history, as far as it was found. */
  readonly damage: readonly Damage[];
  readonly root: string;
  readonly address: string;
  readonly adminAddress: string;
  /** null while the log cannot be read. */
  readonly log: { readonly firstSeq: number; readonly lastSeq: number } | null;
  readonly snapshotCounts: {
    readonly active: number;
    readonly view: number;
    readonly committed: number;
    /** Removed, but the directory is not deleted yet. */
    readonly removing: number;
  } | null;
  readonly space: {
    readonly isLow: boolean;
    readonly freeBytes: number;
    readonly sizeBytes: number;
  };
  readonly callsInProgress: number;
  readonly memoryBytes: number;
}

export interface StatusOptions {
  readonly configuration: Configuration;
  readonly version: string;
  readonly bootId: string;
  readonly startedAtUs: number;
  readonly node: NodeAccess;
  readonly spaceGuard: () => SpaceGuard | undefined;
  readonly callsInProgress: () => number;
}

/** The document as of now. */
export async function statusDocument(options: StatusOptions): Promise<StatusDocument> {
  const { configuration, node, version, bootId } = options;
  const { condition } = node;
  const store = node.store();
  const { bavail, blocks, bsize } = await statfs(configuration.root);
  const isLow = options.spaceGuard()?.isLow ?? condition.phase === 'disk-full';
  const spaceProblem = isLow
    ? `the disk of ${configuration.root} is full: Prepare and Commit are refused until ` +
      'space is free'
    : null;
  const historyDamage = store.ok ? store.value.historyDamage : [];
  const historyProblem =
    historyDamage.length > 0
      ? 'stored history is damaged, the present state is whole: ' +
        'stop varve serve and run varve repair when it suits'
      : null;
  return {
    format: 'varve-status',
    version: 1,
    varveVersion: version,
    pid: process.pid,
    bootId,
    startedAt: new Date(options.startedAtUs / 1000).toISOString(),
    condition: condition.phase,
    problem: 'reason' in condition ? condition.reason : (spaceProblem ?? historyProblem),
    damage: condition.phase === 'damaged' ? condition.damage : historyDamage,
    root: configuration.root,
    address: configuration.address,
    adminAddress: configuration.adminAddress,
    log: store.ok ? { firstSeq: store.value.firstSeq, lastSeq: store.value.lastSeq } : null,
    snapshotCounts: snapshotCounts(node),
    space: { isLow, freeBytes: bavail * bsize, sizeBytes: blocks * bsize },
    callsInProgress: options.callsInProgress(),
    memoryBytes: process.memoryUsage.rss(),
  };
}

function snapshotCounts(node: NodeAccess): StatusDocument['snapshotCounts'] {
  const engine = node.engine();
  if (!engine.ok) return null;
  const counts = { active: 0, view: 0, committed: 0, removing: 0 };
  for (const state of engine.value.checkpoint().snapshots) counts[kindOf(state) ?? 'removing'] += 1;
  return counts;
}
