// Whether a directory can carry overlay upper directories, tried out in a scratch directory.
import { declare } from './library.ts';

const probe = declare(
  'int varve_sys_probe_overlay_upper(const char* directory, _Out_ uint32_t* failedSteps)',
);

const steps: readonly (readonly [number, string])[] = [
  [1, 'it is an overlay itself'],
  [2, 'a scratch directory cannot be made in it'],
  [4, 'its directory entries carry no file type'],
  [8, 'trusted extended attributes do not work on it'],
  [16, 'whiteouts cannot be made on it'],
];

/** Why not, in words; undefined if it can. */
export function probeOverlayUpper(directory: string): string | undefined {
  const failedSteps = [0];
  const returned = probe()(directory, failedSteps) as number;
  if (returned === 0) return undefined;
  const bits = failedSteps[0] ?? 0;
  const reasons = steps.filter(([bit]) => (bits & bit) !== 0).map(([, reason]) => reason);
  return reasons.join(', ') || 'it could not be tried';
}
