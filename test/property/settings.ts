// How long the property tests run, and from which seed.
export interface Settings {
  readonly seed: number;
  readonly runCount: number;
}

/** VARVE_SEED repeats a run; VARVE_LONG=1 takes the long count; VARVE_RUNS sets it. */
export function settings(shortCount: number, longCount: number): Settings {
  const { VARVE_SEED, VARVE_LONG, VARVE_RUNS } = process.env;
  const runCount = VARVE_LONG === '1' ? longCount : shortCount;
  return {
    seed: VARVE_SEED === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(VARVE_SEED),
    runCount: VARVE_RUNS === undefined ? runCount : Number(VARVE_RUNS),
  };
}
