// Random commands for the pure core, few names among them, so that they meet.
import fc from 'fast-check';
import { crashPoints, type Command } from './core-world.ts';

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
/** A command, where it crashes, and where the recovery from that does. */
export const step = fc.tuple(command, crash, crash);
