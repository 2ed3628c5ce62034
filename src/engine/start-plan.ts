// What a start has to do: the folded state beside everything that the machine shows. Boot carries
// it out, `varve fsck` prints it.
import type { DevicePolicy } from '../machines/device/decide.ts';
import type { EffectFailure } from '../machines/kernel/envelope.ts';
import type { Projection } from '../machines/projection.ts';
import { planBoot, type BootPlan } from './boot.ts';
import { planDevices, recordedTransports, type DevicesPlan } from './device-recovery.ts';
import type { BlockDevices, Logger, SnapshotDirectories } from './ports.ts';

export interface StartPlan {
  /** Position of the state that it is made for. */
  readonly position: number;
  readonly boot: BootPlan;
  /** Entries beside the snapshots' directories that are not ours: never touched. */
  readonly foreign: readonly string[];
  readonly devices: DevicesPlan;
  /** Why the backing store could not be asked what it has; null if it could. */
  readonly unseen: EffectFailure | null;
}

export interface PlanOptions {
  readonly directories: SnapshotDirectories;
  readonly blockDevices: BlockDevices;
  readonly policy: () => DevicePolicy;
  /** Of the running kernel. */
  readonly bootId: string;
  /** Whether the snapshot's Prepare is under way; of a node that does not run, none is. */
  readonly isPreparing?: (snapshotId: number) => boolean;
}

/** Looks at the machine and plans; of a node that runs, what changed meanwhile is left out. */
export async function planStart(
  projection: Projection,
  { directories, blockDevices, policy, bootId, isPreparing = () => false }: PlanOptions,
): Promise<StartPlan> {
  const throughSeq = projection.globalSeq;
  const knownBefore = new Set(projection.catalog.states.keys());
  const found = await directories.list();
  const wasRebooted = projection.node.bootId !== bootId;
  // No device outlives the machine.
  const observed = await blockDevices.observe(
    wasRebooted ? new Map() : recordedTransports(projection),
  );
  const boot = planBoot(projection, found.snapshotIds);
  const sightings = observed.ok ? observed.value : undefined;
  return {
    position: throughSeq,
    boot: {
      ...boot,
      orphans: boot.orphans.filter((id) => !knownBefore.has(id) && !isPreparing(id)),
      unexplained: boot.unexplained.filter((id) => !knownBefore.has(id) && !isPreparing(id)),
      missing: boot.missing.filter((id) => knownBefore.has(id)),
    },
    foreign: found.foreign,
    devices: planDevices(
      projection,
      { sightings, wasRebooted, isPreparing },
      { policy: policy(), throughSeq },
    ),
    unseen: observed.ok ? null : observed.failure,
  };
}

/** Says what a start found and does not touch, and what it goes on with. */
export function reportStart(
  { boot: plan, foreign, devices, unseen }: StartPlan,
  logger: Logger,
): void {
  if (plan.unexplained.length > 0) {
    logger.warn(
      { snapshotIds: plan.unexplained },
      'directories without a record are kept: the history that could explain them is lost; ' +
        'look at them and delete them by hand',
    );
  }
  if (plan.missing.length > 0) {
    logger.error({ snapshotIds: plan.missing }, 'the directories of these snapshots are gone');
  }
  if (foreign.length > 0) logger.warn({ names: foreign }, 'foreign entries beside the snapshots');
  if (plan.inFlight.length > 0) {
    logger.info(
      { snapshotIds: plan.inFlight.map(({ context }) => context.snapshotId) },
      'work in flight when the last server ended goes on',
    );
  }
  // A node whose devices are all detached need not have a backing store.
  if (unseen !== null && devices.presentCount > 0)
    logger.warn(unseen, 'devices could not be looked at');
}
