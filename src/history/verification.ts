// The comparison behind `varve verify`: the state that the log folds to and the state that is live
// must be equal, byte for byte as JSON. What differs is named by its path.
import type { Checkpoint } from '../machines/checkpoint.ts';
import { changesOf } from './diff.ts';

/** How many differences a document names; the rest are counted. */
export const differencesMax = 100;

export interface Difference {
  /** `snapshots.#7.context.key`, `node.horizonSeq`, `globalSeq`. */
  readonly path: string;
  readonly folded: unknown;
  readonly live: unknown;
}

export interface DamageReport {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly reason: string;
  readonly streams: readonly string[];
}

export interface VerifyDocument {
  readonly format: 'varve-verify';
  readonly version: 1;
  /** True if nothing differs and nothing is damaged. */
  readonly equal: boolean;
  readonly position: number;
  /** First position that was folded: after the checkpoint from which history folds, or 1. */
  readonly firstSeq: number;
  readonly checkedEventCount: number;
  readonly differences: readonly Difference[];
  readonly differenceCount: number;
  readonly damage: readonly DamageReport[];
  /** What an earlier repair named as lost; it is held against nothing. */
  readonly lost: readonly DamageReport[];
}

export interface VerifyRequest {
  readonly folded: Checkpoint;
  readonly live: Checkpoint;
  readonly firstSeq: number;
  readonly checkedEventCount: number;
  readonly damage?: readonly DamageReport[];
  readonly lost?: readonly DamageReport[];
}

/** The result of folding everything again beside what is live. */
export function verifyDocument(request: VerifyRequest): VerifyDocument {
  const damage = request.damage ?? [];
  const differences = compareCheckpoints(request.folded, request.live);
  return {
    format: 'varve-verify',
    version: 1,
    equal: differences.length === 0 && damage.length === 0,
    position: request.live.globalSeq,
    firstSeq: request.firstSeq,
    checkedEventCount: request.checkedEventCount,
    differences: differences.slice(0, differencesMax),
    differenceCount: differences.length,
    damage,
    lost: request.lost ?? [],
  };
}

/** Where two states differ; empty if they are equal. */
export function compareCheckpoints(folded: Checkpoint, live: Checkpoint): readonly Difference[] {
  return changesOf(comparable(folded), comparable(live)).map(({ field, from, to }) => ({
    path: field,
    folded: from,
    live: to,
  }));
}

// By id rather than by place, so that one missing snapshot or device is one difference.
function comparable(checkpoint: Checkpoint): unknown {
  const { snapshots, devices, ...rest } = checkpoint;
  return {
    ...rest,
    snapshots: Object.fromEntries(
      snapshots.map((state) => [`#${state.context.snapshotId}`, state]),
    ),
    devices: Object.fromEntries(devices.map((state) => [`#${state.context.deviceId}`, state])),
  };
}
