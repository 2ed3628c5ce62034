// The directories of snapshots, many in one call, and whether a file system can carry them.
import { failedCall, succeeded, type NativeFailure, type NativeResult } from './errno.ts';
import { callNative, callNativeAsync } from './library.ts';

/** A snapshot's directories to make. */
export interface LayerRequest {
  readonly snapshotId: number;
  /** Whose `fs` gives the owner; absent: this process. */
  readonly parentId: number | null;
  readonly withWork: boolean;
}

/** Why a file system cannot carry overlay upper directories. */
export type OverlayUpperProblem =
  'on-overlay' | 'scratch-directory' | 'entry-type' | 'trusted-xattr' | 'whiteout';

/** A failed probe: the first error, and every step that failed. */
export interface OverlayProbeFailure extends NativeFailure {
  readonly problems: readonly OverlayUpperProblem[];
}

const withWorkFlag = 1;

// struct varve_sys_layer: two 64-bit ids, flags, result.
const layerBytes = 24;
const parentOffset = 8;
const flagsOffset = 16;
const resultOffset = 20;

// In the order of the bits that the C side sets.
const problems: readonly OverlayUpperProblem[] = [
  'on-overlay',
  'scratch-directory',
  'entry-type',
  'trusted-xattr',
  'whiteout',
];

function encodeLayers(requests: readonly LayerRequest[]): Buffer {
  const bytes = Buffer.alloc(requests.length * layerBytes);
  for (const [index, { snapshotId, parentId, withWork }] of requests.entries()) {
    const offset = index * layerBytes;
    writeId(bytes, offset, snapshotId);
    writeId(bytes, offset + parentOffset, parentId ?? 0);
    bytes.writeUInt32LE(withWork ? withWorkFlag : 0, offset + flagsOffset);
  }
  return bytes;
}

function writeId(bytes: Buffer, offset: number, id: number): void {
  bytes.writeUInt32LE(id % 2 ** 32, offset);
  bytes.writeUInt32LE(Math.floor(id / 2 ** 32), offset + 4);
}

/**
 * Makes `<id>` (0700), `<id>/fs` (0755) and, if wanted, `<id>/work` (0711) for each request, all or
 * nothing, on a pool thread; one result each, in order.
 */
export async function makeLayers(
  snapshotsPath: string,
  requests: readonly LayerRequest[],
): Promise<readonly NativeResult<number>[]> {
  const layers = encodeLayers(requests);
  const called = await callNativeAsync('make_layers', [snapshotsPath, layers, requests.length]);
  return requests.map((_, index) => {
    if (!called.ok) return called;
    const result = layers.readInt32LE(index * layerBytes + resultOffset);
    return result < 0 ? failedCall(result, 'make_layers') : succeeded(result);
  });
}

/** The same on a thread of its own: the disk may hang. */
export async function probeOverlayUpperAsync(
  directory: string,
): Promise<{ readonly ok: true } | OverlayProbeFailure> {
  const failedSteps = [0];
  const result = await callNativeAsync('probe_overlay_upper', [directory, failedSteps]);
  return result.ok ? { ok: true } : { ...result, problems: problemsIn(failedSteps) };
}

const problemsIn = ([bits = 0]: readonly number[]): readonly OverlayUpperProblem[] =>
  problems.filter((_, index) => (bits & (1 << index)) !== 0);

/** Tries whether overlay upper directories work in the directory; leaves nothing behind. */
export const probeOverlayUpper = (
  directory: string,
): { readonly ok: true } | OverlayProbeFailure => {
  const failedSteps = [0];
  const result = callNative('probe_overlay_upper', [directory, failedSteps]);
  return result.ok ? { ok: true } : { ...result, problems: problemsIn(failedSteps) };
};
