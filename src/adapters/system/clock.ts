// The process's clock: wall time in microseconds that never goes backwards, and timers. It follows
// the monotonic clock, so that a step of the wall clock backwards cannot reorder what is recorded;
// a step forwards is taken over.
import type { Clock } from '../../engine/ports.ts';

/** Makes the clock of this process. */
export function systemClock(): Clock {
  // Exact to microseconds, where Date.now() cuts off up to a millisecond: a time recorded for a
  // call must not lie before the call.
  let offsetUs = performance.timeOrigin * 1000;
  let lastUs = 0;
  return {
    nowUs: () => {
      const monotonic = monotonicUs();
      // The cut-off wall time is never ahead, unless the clock was set.
      offsetUs = Math.max(offsetUs, wallUs() - monotonic);
      lastUs = Math.max(lastUs, Math.floor(monotonic + offsetUs));
      return lastUs;
    },
    after,
  };
}

/** Node's timers fire at once when they are given more. */
const timerMsMax = 2 ** 31 - 1;

/** Calls back once after `delayMs`, however long that is; returns the cancel function. */
function after(delayMs: number, callback: () => void): () => void {
  const stepMs = Math.min(delayMs, timerMsMax);
  const next = (): void => {
    if (delayMs <= timerMsMax) callback();
    else cancel = after(delayMs - stepMs, callback);
  };
  const timer = setTimeout(next, stepMs);
  let cancel = (): void => clearTimeout(timer);
  return () => cancel();
}

const wallUs = (): number => Date.now() * 1000;
const monotonicUs = (): number => performance.now() * 1000;
