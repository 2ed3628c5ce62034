// Every file of the log cut at every record and hit by flipped bits, after a clean end, after a
// crash and with everything in tables. The short form takes a sample by a printed seed;
// VARVE_LONG=1 takes all.
import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { prepareCase, type Outcome } from './damage-check.ts';
import { allCases, describeCase, makeFixture, pasts, type Case, type Fixture } from './fixture.ts';
import { removeRoot } from './opened-store.ts';

const isLong = process.env['VARVE_LONG'] === '1';
const seed = Number(process.env['VARVE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const sampleCount = Number(process.env['VARVE_STORE_CASES'] ?? 60);

const isTraced = process.env['VARVE_TRACE'] === '1';
const workerCount = 4;

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

interface Answer {
  readonly outcome?: Outcome;
  readonly failure?: string;
}

/** Checks in a child process, a new one whenever LevelDB ended the last. */
class Worker {
  readonly #fixture: Fixture;
  #child: ChildProcess | undefined;

  constructor(fixture: Fixture) {
    this.#fixture = fixture;
  }

  /** Undefined when the process was ended. */
  async check(one: Case, root: string): Promise<Answer | undefined> {
    if (this.#child?.connected !== true) this.#child = undefined;
    this.#child ??= fork(
      join(import.meta.dirname, 'damage-worker.ts'),
      [fixturePath(this.#fixture)],
      {
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      },
    );
    const child = this.#child;
    const answer = new Promise<Answer | undefined>((resolve) => {
      child.once('message', (message) => resolve(message as Answer));
      child.once('exit', () => resolve(undefined));
    });
    child.send({ one, root });
    const answered = await answer;
    child.removeAllListeners();
    if (answered === undefined) {
      this.#child = undefined;
    }
    return answered;
  }

  close(): void {
    this.#child?.disconnect();
  }
}

const fixturePath = (fixture: Fixture): string => join(fixture.path, 'fixture.json');

async function checked(
  worker: Worker,
  fixture: Fixture,
  one: Case,
): Promise<Outcome & { wasAborted: boolean }> {
  const scratch = prepareCase(fixture, one);
  const root = join(scratch, 'root');
  try {
    const check = (): Promise<Answer | undefined> => worker.check(one, root);
    const first = await check();
    // LevelDB may end the process, and once more before the tables were looked at; the next start
    // must find the table instead of falling over it again.
    const answer = first ?? (await check()) ?? (await check());
    assert.ok(answer !== undefined, 'a crash loop: the restarted process was ended too');
    assert.equal(answer.failure, undefined);
    assert.ok(answer.outcome !== undefined);
    return { ...answer.outcome, wasAborted: first === undefined };
  } finally {
    removeRoot(scratch);
  }
}

async function checkAll(context: TestContext, fixture: Fixture): Promise<void> {
  writeFileSync(fixturePath(fixture), JSON.stringify(fixture));
  const all = allCases(fixture);
  const cases = isLong ? all : sample(all);
  context.diagnostic(`seed ${seed}: ${cases.length} of ${all.length} cases`);
  const failures: string[] = [];
  const totals = { damaged: 0, unserved: 0, lost: 0, aborted: 0 };
  const check = async (worker: Worker, one: Case): Promise<void> => {
    try {
      const outcome = await checked(worker, fixture, one);
      if (isTraced) context.diagnostic(`${describeCase(one)}: ${JSON.stringify(outcome)}`);
      totals.damaged += outcome.wasDamaged ? 1 : 0;
      totals.unserved += outcome.unservedCount > 0 ? 1 : 0;
      totals.lost += outcome.lostCount > 0 ? 1 : 0;
      totals.aborted += outcome.wasAborted ? 1 : 0;
    } catch (error) {
      failures.push(`${describeCase(one)}: ${(error as Error).message.slice(0, 600)}`);
    }
  };
  // Opening a log waits for the disk most of the time.
  const waiting = cases.values();
  const work = async (): Promise<void> => {
    const worker = new Worker(fixture);
    for (const one of waiting) await check(worker, one);
    worker.close();
  };
  await Promise.all(Array.from({ length: workerCount }, work));
  context.diagnostic(
    `${totals.damaged} damaged openings, ${totals.unserved} with events not served, ` +
      `${totals.lost} with events that repair could not save, ${totals.aborted} ended by LevelDB once`,
  );
  assert.deepEqual(failures, []);
  assert.ok(totals.damaged > 0 && totals.unserved > 0, 'the mutations did no damage');
}

for (const past of pasts) {
  test(`every cut and every flipped bit is detected, named, and repaired (${past})`, async (context) => {
    const fixture = await makeFixture(past);
    try {
      await checkAll(context, fixture);
    } finally {
      removeRoot(fixture.path);
    }
  });
}
