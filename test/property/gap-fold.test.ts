// A log of which random events are missing, folded over its gaps: what was not hit is known as it
// was, and what is known does not contradict itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GapFold } from '../../src/machines/gap-fold.ts';
import { Projection } from '../../src/machines/projection.ts';
import { kindOf, type SnapshotState } from '../../src/machines/snapshot/state.ts';
import { snapshotIdOf } from '../../src/machines/snapshot/events.ts';
import type { Checkpoint } from '../../src/machines/checkpoint.ts';
import type { RecordedEvent } from '../../src/machines/kernel/envelope.ts';
import { step } from './commands.ts';
import { CoreWorld } from './core-world.ts';
import { settings } from './settings.ts';

const gap = fc.record({ at: fc.nat(40), length: fc.integer({ min: 1, max: 6 }) });

interface Damaged {
  readonly log: readonly RecordedEvent[];
  readonly left: readonly RecordedEvent[];
  readonly base: Checkpoint | undefined;
}

/** The log without the gaps, none of which lies at or before the base. */
function damaged(
  log: readonly RecordedEvent[],
  gaps: readonly { readonly at: number; readonly length: number }[],
  baseSeq: number,
): Damaged {
  const lost = new Set(
    gaps.flatMap(({ at, length }) => Array.from({ length }, (_, index) => at + index + 1)),
  );
  const before = Projection.empty();
  for (const event of log.slice(0, baseSeq)) before.apply(event);
  const left = log.slice(baseSeq).filter(({ globalSeq }) => !lost.has(globalSeq));
  return { log, left, base: baseSeq === 0 ? undefined : before.toCheckpoint() };
}

function byId({ snapshots }: Checkpoint): Map<number, SnapshotState> {
  return new Map(snapshots.map((state) => [state.context.snapshotId, state]));
}

/** Ids of snapshots that lost an event themselves or one of whose ancestors did. */
function hitIds({ log, left, base }: Damaged): Set<number> {
  const baseSeq = base?.globalSeq ?? 0;
  const kept = new Set(left.map(({ globalSeq }) => globalSeq));
  const lost = log.slice(baseSeq).filter(({ globalSeq }) => !kept.has(globalSeq));
  const hit = new Set(lost.map(({ stream }) => Number(stream.slice('snapshot-'.length))));
  const parents = new Map<number, number>();
  for (const event of log) {
    const { parentId } = event.data as { readonly parentId?: number | null };
    const id = Number(event.stream.slice('snapshot-'.length));
    if (parentId !== undefined && parentId !== null) parents.set(id, parentId);
  }
  for (let count = -1; count !== hit.size;) {
    count = hit.size;
    for (const [id, parentId] of parents) if (hit.has(parentId)) hit.add(id);
  }
  return hit;
}

function assertConsistent(states: ReadonlyMap<number, SnapshotState>): void {
  const names = [...states.values()].filter((state) => kindOf(state) !== undefined);
  assert.equal(new Set(names.map(({ context }) => context.key)).size, names.length, 'one owner');
  for (const { context } of names) {
    if (context.parentId === null) continue;
    const parent = states.get(context.parentId);
    assert.equal(parent?.value.lifecycle, 'committed', 'the parent is committed');
    assert.equal(parent?.context.key, context.parent);
  }
}

test('a fold over gaps knows what was not hit as it was, and contradicts nothing', (t) => {
  const { seed, runCount } = settings(1_500, 30_000);
  const total = { states: 0, unhit: 0, givenUp: 0, wentOn: 0 };
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }),
      fc.array(gap, { minLength: 1, maxLength: 4 }),
      fc.nat(30),
      (steps, gaps, baseSeq) => {
        const world = new CoreWorld();
        for (const each of steps) world.step(...each);
        const whole = Projection.empty();
        for (const event of world.log) whole.apply(event);
        const expected = byId(whole.toCheckpoint());
        const log = damaged(world.log, gaps, Math.min(baseSeq, world.log.length));
        const hit = hitIds(log);
        const fold = new GapFold(log.base);
        for (const event of log.left) fold.apply(event);
        fold.settle(new Set(expected.keys()));
        const checkpoint = fold.toCheckpoint(world.log.length);
        const found = byId(checkpoint);
        Projection.fromCheckpoint(checkpoint);
        assertConsistent(found);
        for (const [id, state] of expected) {
          total.states += 1;
          if (!hit.has(id)) {
            total.unhit += 1;
            assert.deepEqual(found.get(id), state);
          } else if (found.has(id)) {
            total.wentOn += 1;
          }
        }
        for (const [id, state] of found) {
          const isSeen = kindOf(state) !== undefined;
          assert.ok(expected.has(id) || (hit.has(id) && !isSeen), 'it had ended');
        }
        for (const { snapshotId } of fold.givenUp) {
          total.givenUp += 1;
          assert.ok(hit.has(snapshotId), 'given up without a loss');
          assert.ok(!found.has(snapshotId));
        }
        const free =
          fold.idsReservedUpTo(Math.max(world.log.length - log.left.length - baseSeq, 0)) + 1;
        for (const { stream } of world.log) {
          assert.ok((snapshotIdOf(stream) ?? 0) < free, 'an id handed out counts as free');
        }
      },
    ),
    { seed, numRuns: runCount },
  );
  t.diagnostic(`seed ${seed}: ${JSON.stringify(total)}`);
  for (const [name, count] of Object.entries(total)) assert.ok(count > runCount / 50, name);
});
