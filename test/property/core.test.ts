// Random commands × crash points on the pure core. Prints its seed and how many commands were
// accepted; VARVE_SEED repeats a run, VARVE_LONG=1 runs longer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { step } from './commands.ts';
import { CoreWorld } from './core-world.ts';
import { settings } from './settings.ts';

test('no command and no crash breaks an invariant of the core', (t) => {
  const { seed, runCount } = settings(2_000, 40_000);
  const total = { accepted: 0, refused: 0, crashes: 0, lateRefused: 0, effects: 0 };
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), (steps) => {
      const world = new CoreWorld();
      for (const [each, crashAt, recoveryCrashAt] of steps)
        world.step(each, crashAt, recoveryCrashAt);
      for (const name of Object.keys(total) as (keyof typeof total)[]) {
        total[name] += world.counts[name];
      }
    }),
    { seed, numRuns: runCount },
  );
  const rate = total.accepted / (total.accepted + total.refused);
  t.diagnostic(`seed ${seed}, accepted ${(rate * 100).toFixed(1)} % of commands`);
  t.diagnostic(JSON.stringify(total));
  assert.ok(rate >= 0.1, `only ${(rate * 100).toFixed(1)} % of the commands were accepted`);
  for (const [name, count] of Object.entries(total)) assert.ok(count > runCount / 4, name);
});
