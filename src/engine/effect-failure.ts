// The answer to a caller whose effect failed: what, at which step, why.
import type { EffectFailure } from '../machines/kernel/envelope.ts';
import type { Rejection, RejectionCode, Result } from '../machines/kernel/rejection.ts';

/** A failure's code → what callers are told; any other is unknown. */
const codes: Readonly<Record<string, RejectionCode>> = {
  ENOSPC: 'resource_exhausted',
  EDQUOT: 'resource_exhausted',
  ETIMEDOUT: 'unavailable',
  // Somebody uses what is to be taken away.
  EBUSY: 'failed_precondition',
  // What this version cannot do.
  ENOTSUP: 'failed_precondition',
  // A program is not installed.
  ENOPKG: 'failed_precondition',
  // The backing store of block devices is not there.
  ECONNREFUSED: 'unavailable',
};

/** `what` is a clause: `snapshot "a" could not be prepared`. */
export function failureRejection(what: string, failure: EffectFailure): Rejection {
  const where = failure.path === undefined ? '' : ` (${failure.path})`;
  const message = `${what}: ${failure.step} failed with ${failure.code}: ${failure.message}${where}`;
  return { code: codes[failure.code] ?? 'unknown', message };
}

export const effectFailed = (what: string, failure: EffectFailure): Result<never> => ({
  ok: false,
  rejection: failureRejection(what, failure),
});

/** An image asks for what the file system that it holds does not have. */
export const notMountable = (message: string): EffectFailure => ({
  ...{ step: 'identify-layer', code: 'ENOTSUP', message },
});
