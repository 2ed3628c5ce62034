// The process's clock: wall time in microseconds that never goes backwards, and timers. It follows
// the monotonic clock, so that a step of the wall clock backwards cannot reorder what is recorded;
// a step forwards is taken over.
import type { Clock } from '../../engine/ports.ts';

/** A wall clock that lies further ahead than this was set, not merely read less exactly. */
const stepUs = 50_000;

/** Makes the clock of this process. */
export function systemClock(): Clock {
  let offsetUs = wallUs() - monotonicUs();
  let lastUs = 0;
  return {
    nowUs: () => {
      const monotonic = monotonicUs();
      const wall = wallUs();
      if (wall - (monotonic + offsetUs) > stepUs) offsetUs = wall - monotonic;
      lastUs = Math.max(lastUs, Math.floor(monotonic + offsetUs));
      return lastUs;
    },
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
  };
}

const wallUs = (): number => Date.now() * 1000;
const monotonicUs = (): number => performance.now() * 1000;
