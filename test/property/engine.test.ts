// Random concurrent calls × completions × crashes on the real engine. Prints its seed and how many
// calls were accepted; VARVE_SEED repeats a run, VARVE_LONG=1 runs longer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EngineWorld, type EngineCommand, type EngineStep } from './engine-world.ts';
import { settings } from './settings.ts';

const key = fc.constantFrom('a', 'b', 'c');
const name = fc.constantFrom('l1', 'l2', 'a');
const either = fc.oneof(key, name);
const parent = fc.oneof({ weight: 3, arbitrary: fc.constant('') }, { weight: 2, arbitrary: name });
const labels = fc.constantFrom({}, { x: '1' });
const is = <Kind extends string>(...kinds: Kind[]) => fc.constantFrom(...kinds);

const command: fc.Arbitrary<EngineCommand> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: is('prepare'), key, parent, labels }) },
  { weight: 1, arbitrary: fc.record({ kind: is('view'), key, parent, labels }) },
  { weight: 5, arbitrary: fc.record({ kind: is('commit'), key, name, parent, labels }) },
  { weight: 4, arbitrary: fc.record({ kind: is('remove'), key: either }) },
  { weight: 3, arbitrary: fc.record({ kind: is('update'), key: either, labels }) },
  { weight: 2, arbitrary: fc.record({ kind: is('stat', 'mounts', 'usage'), key: either }) },
  { weight: 1, arbitrary: fc.record({ kind: is('cleanup', 'list') }) },
);

const rarely = (one: number) => fc.integer({ min: 1, max: one }).map((roll) => roll === 1);

const step: fc.Arbitrary<EngineStep> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: is('call'), command, isBurst: rarely(3) }) },
  {
    weight: 18,
    arbitrary: fc.record({
      kind: is('complete'),
      pick: fc.nat(7),
      fails: rarely(8),
      failsLog: rarely(80),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: is('timers') }) },
  { weight: 1, arbitrary: fc.record({ kind: is('retention') }) },
  { weight: 2, arbitrary: fc.record({ kind: is('compact'), keptCount: fc.nat(15) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: is('crash'),
      lands: fc.nat(255),
      startedAfter: fc.nat(9),
    }),
  },
);

test('no call, completion, failure or crash breaks an invariant of the engine', async (t) => {
  const { seed, runCount } = settings(120, 4_000);
  const total = {
    accepted: 0,
    refused: 0,
    crashes: 0,
    logFailures: 0,
    failedEffects: 0,
    compactions: 0,
  };
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 30, maxLength: 90, size: 'max' }),
      fc.boolean(),
      async (steps, asyncRemove) => {
        const world = new EngineWorld(asyncRemove);
        await world.start();
        for (const each of steps) await world.step(each);
        await world.finish();
        for (const one of Object.keys(total) as (keyof typeof total)[]) {
          total[one] += world.counts[one];
        }
      },
    ),
    { seed, numRuns: runCount },
  );
  const rate = total.accepted / (total.accepted + total.refused);
  t.diagnostic(`seed ${seed}, accepted ${(rate * 100).toFixed(1)} % of calls`);
  t.diagnostic(JSON.stringify(total));
  assert.ok(rate >= 0.1, `only ${(rate * 100).toFixed(1)} % of the calls were accepted`);
  for (const [what, count] of Object.entries(total)) assert.ok(count > runCount / 60, what);
});
