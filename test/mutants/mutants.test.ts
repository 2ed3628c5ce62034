// The tests of machines, engine and properties are tested: each sabotage of the sources must fail
// one of them. The short form takes some by a seed that it prints (VARVE_SEED repeats it),
// VARVE_LONG=1 takes all.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { settings } from '../property/settings.ts';
import { deviceMutants } from './device-mutants.ts';
import { engineMutants } from './engine-mutants.ts';
import { machineMutants } from './machine-mutants.ts';
import { retentionMutants } from './retention-mutants.ts';
import { mutatedText, type Mutant } from './mutant.ts';
import { checkout, Sandbox } from './sandbox.ts';
import { transitionMutants } from './transition-mutants.ts';

const all = [
  ...machineMutants,
  ...engineMutants,
  ...deviceMutants,
  ...retentionMutants,
  ...transitionMutants(checkout),
];
/** What the time of the short form allows. */
const sampleCount = 6;

const { seed, runCount } = settings(sampleCount, all.length);
const chosen = fc
  .sample(fc.shuffledSubarray(all, { minLength: runCount, maxLength: runCount }), {
    ...{ seed, numRuns: 1 },
  })
  .flat();

const sandboxes = [new Sandbox(), new Sandbox()];
const copies = [...sandboxes];
const dispose = (): void => {
  for (const sandbox of copies) sandbox.dispose();
};
after(dispose);
// A run that takes too long is ended from outside.
process.once('SIGTERM', () => {
  dispose();
  process.exit(143);
});

async function judged<Value>(work: (sandbox: Sandbox) => Promise<Value>): Promise<Value> {
  const sandbox = sandboxes.pop();
  assert.ok(sandbox !== undefined, 'no more tests run at a time than there are sandboxes');
  try {
    return await work(sandbox);
  } finally {
    sandboxes.push(sandbox);
  }
}

test('every mutant changes a line that is there', () => {
  for (const mutant of all) mutatedText(checkout, mutant);
  assert.equal(new Set(all.map(({ name }) => name)).size, all.length, 'names are unique');
});

test('sound sources pass', async () => {
  const verdict = await judged((sandbox) => sandbox.judge(undefined));
  assert.deepEqual(verdict, { isCaught: false, by: [] });
});

test('mutants', { concurrency: 2 }, async (t) => {
  const judgeOne = (mutant: Mutant): Promise<void> =>
    t.test(`caught: ${mutant.name}`, async (one) => {
      const { isCaught, by } = await judged((sandbox) => sandbox.judge(mutant));
      assert.ok(isCaught, 'it survived: no test of machines, engine or properties fails');
      one.diagnostic(`${by.length} failed: ${by[0] ?? 'a file'}`);
    });
  await Promise.all(chosen.map(judgeOne));
  t.diagnostic(`seed ${seed}, ${chosen.length} of ${all.length} mutants were tried`);
});
