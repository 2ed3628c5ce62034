// Start-up: newest checkpoint + tail → state, then the directories found → what must be done. Only
// local files are read; nothing is carried out here but the deletion of directories that are
// provably ours and unused.
import { upcastCheckpoint, type Checkpoint } from '../machines/checkpoint.ts';
import type { Cause } from '../machines/kernel/envelope.ts';
import { Projection } from '../machines/projection.ts';
import { isInFlight } from '../machines/snapshot/evolve.ts';
import { kindOf, type SnapshotState } from '../machines/snapshot/state.ts';
import type { EventStore, Logger, SnapshotDirectories } from './ports.ts';

/**
 * Folds the stored history through `throughSeq` (default: all), from the newest fitting checkpoint.
 */
export async function foldLog(store: EventStore, throughSeq = store.lastSeq): Promise<Projection> {
  const checkpoint = await knownCheckpoint(store, throughSeq);
  const projection =
    checkpoint === undefined ? Projection.empty() : Projection.fromCheckpoint(checkpoint);
  const fromSeq = projection.globalSeq + 1;
  if (fromSeq > throughSeq) return projection;
  for await (const events of store.read({ fromSeq, toSeq: throughSeq })) {
    for (const event of events) projection.apply(event);
  }
  return projection;
}

/**
 * The newest checkpoint whose version is known; the one at the horizon, from which everything
 * folds, whatever its version is.
 */
async function knownCheckpoint(
  store: EventStore,
  throughSeq: number,
): Promise<Checkpoint | undefined> {
  for (let atSeq = throughSeq; ;) {
    const checkpoint = await store.readCheckpoint(atSeq);
    const isNeeded = checkpoint === undefined || checkpoint.globalSeq < store.firstSeq;
    if (isNeeded || upcastCheckpoint(checkpoint) !== undefined) return checkpoint;
    atSeq = checkpoint.globalSeq - 1;
  }
}

/** Why the event at `seq` was recorded; recovery itself where that cannot be read any more. */
export async function causeAt(store: EventStore, seq: number): Promise<Cause> {
  try {
    for await (const [event] of store.read({ fromSeq: seq, toSeq: seq })) {
      if (event !== undefined) return event.cause;
    }
  } catch {
    // Damage is told of by whoever reads history; the outcome counts without its request.
  }
  return recovery;
}

/** The cause of what a start itself does. */
export const recovery: Cause = { kind: 'recovery' };

/** What the directories say beside the folded state. */
export interface BootPlan {
  /** Snapshots whose effect was in flight when the last server ended: to be completed. */
  readonly inFlight: readonly SnapshotState[];
  /** Directories without a record, of ids that were handed out before a crash: to be deleted. */
  readonly orphans: readonly number[];
  /** Directories without a record that must be kept: history that could explain them was lost. */
  readonly unexplained: readonly number[];
  /** Snapshots whose directory is gone. */
  readonly missing: readonly number[];
  /** No id at or below this one may be handed out. */
  readonly usedUpTo: number;
}

/** Pure: state × directories found → plan. */
export function planBoot(projection: Projection, found: readonly number[]): BootPlan {
  const { idsReservedUpTo, orphansKeptUpTo } = projection.node;
  const states = [...projection.catalog.states.values()];
  // The directory of a device goes after the device.
  const known = new Set([
    ...states.map((state) => state.context.snapshotId),
    ...projection.devices.keys(),
  ]);
  const present = new Set(found);
  const unknown = found.filter((id) => !known.has(id));
  const isOurs = (id: number): boolean => id <= idsReservedUpTo && id > orphansKeptUpTo;
  return {
    inFlight: states.filter(isInFlight),
    orphans: unknown.filter(isOurs),
    unexplained: unknown.filter((id) => !isOurs(id)),
    missing: states
      .filter((state) => kindOf(state) !== undefined && !present.has(state.context.snapshotId))
      .map((state) => state.context.snapshotId),
    usedUpTo: found.reduce((max, id) => Math.max(max, id), idsReservedUpTo),
  };
}

/** Deletes orphaned directories; answers those that are gone. */
export async function removeOrphans(
  snapshotIds: readonly number[],
  directories: SnapshotDirectories,
  logger: Logger,
): Promise<readonly number[]> {
  const removed: number[] = [];
  for (const snapshotId of snapshotIds) {
    const result = await directories.remove(snapshotId);
    if (result.ok) removed.push(snapshotId);
    else logger.warn({ snapshotId, ...result.failure }, 'an orphaned directory remains');
  }
  return removed;
}
