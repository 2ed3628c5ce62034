// Random commands × crash points on the pure core. Prints its seed and how many commands were
// accepted; VARVE_SEED repeats a run, VARVE_LONG=1 runs longer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CoreWorld, crashPoints, type Command } from './core-world.ts';
import { settings } from './settings.ts';

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const name = fc.constantFrom('l1', 'l2', 'l3', 'a');
const parent = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  { weight: 4, arbitrary: name },
  { weight: 1, arbitrary: key },
);
const labels = fc.constantFrom({}, { x: '1' }, { x: '2', y: '' });

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('prepare' as const), key, parent, labels }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('view' as const), key, parent, labels }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('commit' as const), key, name, parent, labels }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('remove' as const),
      key: fc.oneof(key, name),
      isDeferred: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('update' as const),
      key: fc.oneof(key, name),
      labels,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('effect' as const),
      pick: fc.nat(7),
      fails: fc.integer({ min: 0, max: 3 }).map((roll) => roll === 0),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'cleanup' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('lateOutcome' as const), pick: fc.nat(40) }),
  },
);

const crash = fc.oneof(
  { weight: 7, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constantFrom(...crashPoints) },
);
const step = fc.tuple(command, crash, crash);

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
