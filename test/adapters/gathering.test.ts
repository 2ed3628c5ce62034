// Requests that share calls.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gathered } from '../../src/adapters/snapshot-dirs/gathering.ts';

interface OpenCall {
  readonly requests: readonly string[];
  readonly answer: () => void;
  readonly fail: (error: Error) => void;
}

/** A gatherer whose calls stay open until the test answers them. */
function openCalls(limits: { callsMax: number; requestsMax: number }): {
  readonly calls: OpenCall[];
  readonly ask: (request: string) => Promise<string>;
} {
  const calls: OpenCall[] = [];
  const ask = gathered(
    (requests: readonly string[]) =>
      new Promise<readonly string[]>((resolve, reject) => {
        const answer = (): void => resolve(requests.map((request) => request.toUpperCase()));
        calls.push({ requests, answer, fail: reject });
      }),
    limits,
  );
  return { calls, ask };
}

const requestsOf = (calls: readonly OpenCall[]): readonly (readonly string[])[] =>
  calls.map(({ requests }) => requests);

const letters = (text: string): readonly string[] => Array.from(text);

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('requests of one turn share a call, and each gets its own answer', async () => {
  const { calls, ask } = openCalls({ callsMax: 1, requestsMax: 10 });
  const answers = Promise.all([ask('a'), ask('b'), ask('c')]);
  await turn();
  assert.deepEqual(requestsOf(calls), [['a', 'b', 'c']]);
  calls[0]?.answer();
  assert.deepEqual(await answers, ['A', 'B', 'C']);
});

test('requests that come one after another in a turn share a call, too', async () => {
  const { calls, ask } = openCalls({ callsMax: 2, requestsMax: 10 });
  const first = ask('a');
  await Promise.resolve();
  const second = ask('b');
  await turn();
  assert.deepEqual(requestsOf(calls), [['a', 'b']]);
  calls[0]?.answer();
  assert.deepEqual(await Promise.all([first, second]), ['A', 'B']);
});

test('a single request waits for nobody', async () => {
  const { calls, ask } = openCalls({ callsMax: 2, requestsMax: 10 });
  const first = ask('a');
  await turn();
  const second = ask('b');
  await turn();
  assert.deepEqual(requestsOf(calls), [['a'], ['b']]);
  calls[1]?.answer();
  assert.equal(await second, 'B');
  calls[0]?.answer();
  assert.equal(await first, 'A');
});

test('what comes in while all calls are taken shares the next, within the limits', async () => {
  const { calls, ask } = openCalls({ callsMax: 2, requestsMax: 3 });
  const answers = Promise.all(letters('abcdefghij').map(ask));
  await turn();
  assert.deepEqual(requestsOf(calls), [letters('abc'), letters('def')]);
  calls[0]?.answer();
  await turn();
  assert.deepEqual(requestsOf(calls.slice(2)), [letters('ghi')]);
  for (const index of [1, 2]) calls[index]?.answer();
  await turn();
  assert.deepEqual(requestsOf(calls.slice(3)), [['j']]);
  calls[3]?.answer();
  assert.deepEqual(await answers, letters('ABCDEFGHIJ'));
});

test('a call that throws fails its own requests only', async () => {
  const { calls, ask } = openCalls({ callsMax: 1, requestsMax: 2 });
  const answers = Promise.allSettled(letters('abc').map(ask));
  await turn();
  calls[0]?.fail(new Error('broken'));
  await turn();
  calls[1]?.answer();
  const settled = (await answers).map((one) => (one.status === 'fulfilled' ? one.value : 'failed'));
  assert.deepEqual(settled, ['failed', 'failed', 'C']);
});
