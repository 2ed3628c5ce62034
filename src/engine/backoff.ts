// How long what failed is left alone before it is tried again.
import { retryDelayMaxMs, retryDelayMs } from './limits.ts';

/** Before the first attempt nothing; then longer and longer. */
export const pauseMs = (attemptCount: number): number =>
  attemptCount <= 1 ? 0 : Math.min(retryDelayMs * 2 ** (attemptCount - 2), retryDelayMaxMs);
