// Random numbers that a seed repeats.
import type { TestContext } from 'node:test';

/** That of VARVE_SEED, or another one each time; the test tells it. */
export function chooseSeed(t: TestContext): number {
  const seed = Number(process.env['VARVE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`VARVE_SEED=${seed}`);
  return seed;
}

/** mulberry32. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
