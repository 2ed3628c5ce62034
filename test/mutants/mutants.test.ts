// The tests of machines and properties are tested: each sabotage of the sources must fail one of
// them. The short form takes a few; VARVE_LONG=1 takes all, with every transition of the machines
// removed.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { engineMutants } from './engine-mutants.ts';
import { machineMutants } from './machine-mutants.ts';
import { mutatedText, type Mutant } from './mutant.ts';
import { checkout, Sandbox } from './sandbox.ts';
import { transitionMutants } from './transition-mutants.ts';

const all = [...machineMutants, ...engineMutants, ...transitionMutants(checkout)];
const isLong = process.env['VARVE_LONG'] === '1';
const chosen = isLong ? all : all.filter((mutant) => mutant.isShort === true);

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
      assert.ok(isCaught, 'it survived: no test of machines or properties fails');
      one.diagnostic(`${by.length} failed: ${by[0] ?? 'a file'}`);
    });
  await Promise.all(chosen.map(judgeOne));
  t.diagnostic(`${chosen.length} of ${all.length} mutants were tried`);
});
