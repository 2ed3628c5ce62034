// The folded state of one device: plain JSON, so that checkpoints, comparison and replay are exact.
import type { EffectFailure } from '../kernel/envelope.ts';
import type { DevicePlan, LeasePurpose } from './events.ts';

export type Attachment =
  | 'absent'
  | 'attaching'
  | 'formatting'
  | 'mounting'
  | 'ready'
  | 'lingering'
  | 'kept'
  | 'unmounting'
  | 'detaching'
  | 'failed'
  | 'lost';

/** The state of a device's machine: one state in its one region. */
export interface DeviceStateValue {
  readonly attachment: Attachment;
}

export interface Lease {
  readonly snapshotId: number;
  readonly purpose: LeasePurpose;
}

/**
 * The operation in flight. `operationId` is the revision of the event that started this attempt.
 */
export interface DeviceOperation {
  readonly operationId: number;
  readonly attemptCount: number;
}

export interface DeviceContext {
  /** The snapshot whose chain it presents, or whose writable layer it is. */
  readonly deviceId: number;
  /** Who needs it: at most one lease of each snapshot, by ascending snapshot id. */
  readonly leases: readonly Lease[];
  /** Null before it was first attached. */
  readonly plan: DevicePlan | null;
  /** `/dev/…` while the kernel has it. */
  readonly path: string | null;
  /** How it reaches the kernel while that has it. */
  readonly transport: string | null;
  readonly sizeBytes: number;
  /** Whether a container has leased it since it was attached. */
  readonly servedContainer: boolean;
  readonly operation: DeviceOperation | null;
  /** Whether what an attach that failed has built is being torn down. */
  readonly isUndoing: boolean;
  /** How many attaches failed since the last one that did not. */
  readonly failureCount: number;
  readonly lingerUntilUs: number | null;
  readonly lastFailure: EffectFailure | null;
}

export interface DeviceState {
  readonly value: DeviceStateValue;
  readonly context: DeviceContext;
  /** Revision and global position of the newest event folded in; 0 before the first. */
  readonly revision: number;
  readonly lastSeq: number;
}

/** Whether snapshots can use the device now. */
export const isUsable = ({ value }: DeviceState): boolean =>
  value.attachment === 'ready' || value.attachment === 'lingering' || value.attachment === 'kept';

/** Whether nothing of it is left in the world. */
export const isAbsent = ({ value }: DeviceState): boolean => value.attachment === 'absent';

/** Whether nobody leases it, and it is on its way out. */
export const isLeaving = ({ value, context }: DeviceState): boolean =>
  context.leases.length === 0 &&
  (value.attachment === 'unmounting' || value.attachment === 'detaching');

/** Whether an operator has it attached: in the name of its layer, which has no other lease. */
export const isLeasedByOperator = ({ context }: DeviceState, snapshotId: number): boolean =>
  context.leases.some((lease) => lease.snapshotId === snapshotId && lease.purpose === 'operator');

export const isLeasedBy = ({ context }: DeviceState, snapshotId: number): boolean =>
  context.leases.some((lease) => lease.snapshotId === snapshotId);
