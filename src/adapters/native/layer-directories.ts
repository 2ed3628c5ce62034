// The directories of a snapshot in one call, and whether a file system can carry them.
import type { NativeFailure, NativeResult } from './errno.ts';
import { callNative, callNativeAsync, type NativeArgument } from './library.ts';

/** What to make below the directory of all snapshots. */
export interface LayerDirectoriesRequest {
  readonly snapshotsPath: string;
  readonly snapshotId: number;
  readonly withWork: boolean;
  /** Owner of `fs`; as created when absent. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/** Why a file system cannot carry overlay upper directories. */
export type OverlayUpperProblem =
  'on-overlay' | 'scratch-directory' | 'entry-type' | 'trusted-xattr' | 'whiteout';

/** A failed probe: the first error, and every step that failed. */
export interface OverlayProbeFailure extends NativeFailure {
  readonly problems: readonly OverlayUpperProblem[];
}

const withWorkFlag = 1;
const ownerUnchanged = 0xffff_ffff;

// In the order of the bits that the C side sets.
const problems: readonly OverlayUpperProblem[] = [
  'on-overlay',
  'scratch-directory',
  'entry-type',
  'trusted-xattr',
  'whiteout',
];

const argumentsOf = (request: LayerDirectoriesRequest): readonly NativeArgument[] => [
  request.snapshotsPath,
  String(request.snapshotId),
  request.withWork ? withWorkFlag : 0,
  request.owner?.uid ?? ownerUnchanged,
  request.owner?.gid ?? ownerUnchanged,
];

/** Makes `<id>` (0700), `<id>/fs` (0755) and, if wanted, `<id>/work` (0711): all or nothing. */
export const makeLayerDirectories = (request: LayerDirectoriesRequest): NativeResult<number> =>
  callNative('make_layer_dirs', argumentsOf(request));

/** The same on a pool thread. */
export const makeLayerDirectoriesAsync = (
  request: LayerDirectoriesRequest,
): Promise<NativeResult<number>> => callNativeAsync('make_layer_dirs', argumentsOf(request));

/** Tries whether overlay upper directories work in the directory; leaves nothing behind. */
export const probeOverlayUpper = (
  directory: string,
): { readonly ok: true } | OverlayProbeFailure => {
  const failedSteps = [0];
  const result = callNative('probe_overlay_upper', [directory, failedSteps]);
  if (result.ok) return { ok: true };
  const bits = failedSteps[0] ?? 0;
  return { ...result, problems: problems.filter((_, index) => (bits & (1 << index)) !== 0) };
};
