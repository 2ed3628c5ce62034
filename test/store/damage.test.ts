// Every file of the log cut at every record and hit by flipped bits, after a clean end, after a crash and
// with everything in tables. The short form takes a sample by a printed seed; VARVE_LONG=1 takes all.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkCase } from './damage-check.ts';
import { allCases, describeCase, makeFixture, type Case, type Fixture } from './fixture.ts';
import { removeRoot } from './opened-store.ts';

const isLong = process.env['VARVE_LONG'] === '1';
const seed = Number(process.env['VARVE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const sampleCount = Number(process.env['VARVE_STORE_CASES'] ?? 110);

const isTraced = process.env['VARVE_TRACE'] === '1';
const workerCount = 6;

let fixture: Fixture;

before(async () => {
  fixture = await makeFixture();
});

after(() => {
  removeRoot(fixture.path);
});

/** A generator of numbers below one, the same for the same seed. */
function numbersFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same number of cases of each kind of file and mutation, as far as there are. */
function sample(cases: readonly Case[]): Case[] {
  const next = numbersFrom(seed);
  const groups = new Map<string, Case[]>();
  for (const one of cases) {
    const kind = one.mutation.file.replaceAll(/\d+/g, '');
    const group = `${one.ending} ${one.mutation.kind} ${kind}`;
    groups.set(group, [...(groups.get(group) ?? []), one]);
  }
  const taken: Case[] = [];
  const each = Math.ceil(sampleCount / groups.size);
  for (const group of groups.values()) {
    for (let count = 0; count < each && group.length > 0; count += 1) {
      taken.push(...group.splice(Math.floor(next() * group.length), 1));
    }
  }
  return taken;
}

test('every cut and every flipped bit is detected, named, and repaired', async (context) => {
  const all = allCases(fixture);
  const cases = isLong ? all : sample(all);
  context.diagnostic(`seed ${seed}: ${cases.length} of ${all.length} cases`);
  const failures: string[] = [];
  const totals = { damaged: 0, unserved: 0, lost: 0 };
  const check = async (one: Case): Promise<void> => {
    try {
      const outcome = await checkCase(fixture, one);
      if (isTraced) context.diagnostic(`${describeCase(one)}: ${JSON.stringify(outcome)}`);
      totals.damaged += outcome.wasDamaged ? 1 : 0;
      totals.unserved += outcome.unservedCount > 0 ? 1 : 0;
      totals.lost += outcome.lostCount > 0 ? 1 : 0;
    } catch (error) {
      failures.push(`${describeCase(one)}: ${(error as Error).message.slice(0, 400)}`);
      if (isTraced) context.diagnostic(String((error as Error).stack));
    }
  };
  // Opening a log waits for the disk most of the time.
  const waiting = cases.values();
  const worker = async (): Promise<void> => {
    for (const one of waiting) await check(one);
  };
  await Promise.all(Array.from({ length: workerCount }, worker));
  context.diagnostic(
    `${totals.damaged} damaged openings, ${totals.unserved} with events not served, ` +
      `${totals.lost} with events that repair could not save`,
  );
  assert.deepEqual(failures, []);
  assert.ok(totals.damaged > 0 && totals.unserved > 0, 'the mutations did no damage');
});
