// What every call has in common, with calls that no socket carries.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata, status, type ServerUnaryCall } from '@grpc/grpc-js';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { RpcRunner } from '../../src/server/grpc/rpc.ts';
import { sendable } from '../../src/server/grpc/status.ts';
import { concurrentCallsMax } from '../../src/server/grpc/limits.ts';
import { LogDamaged, OutOfRange } from '../../src/engine/ports.ts';
import { accepted, rejected } from '../../src/machines/kernel/rejection.ts';

const logged: string[] = [];
let loggedFields: object = {};
const log = (fields: object, message: string): void => {
  loggedFields = fields;
  logged.push(message);
};

const runner = new RpcRunner({
  logger: { debug: log, info: log, warn: log, error: log },
  clock: systemClock(),
  isDebugLogged: false,
  callDeadlineMs: 1000,
  newRequestId: () => 'request',
  onFatal: (error) => assert.fail(error),
});

const callOf = (key: string): ServerUnaryCall<object, object> =>
  ({ request: { key }, metadata: new Metadata(), getDeadline: () => Infinity }) as never;
const call = callOf('k');

test('an answer that cannot be sent ends its call, not the process', async () => {
  const replies: unknown[] = [];
  const answered = Promise.withResolvers<undefined>();
  const handler = runner.unary('Stat', () => rejected('not_found', 'it does not exist'));
  handler(call, (reply) => {
    replies.push(reply);
    if (replies.length === 1) throw new URIError('URI malformed');
    answered.resolve(undefined);
  });
  await answered.promise;
  const codes = replies.map((reply) => (reply as { code: number }).code);
  assert.deepEqual(codes, [status.NOT_FOUND, status.INTERNAL]);
  assert.ok(logged.includes('the answer of Stat cannot be sent'), logged.join());
});

test('a log line shows the beginning of a key', async () => {
  const answered = Promise.withResolvers<unknown>();
  const handler = runner.unary('Stat', () => rejected('invalid_argument', 'too long'));
  const key = '😀'.repeat(100_000);
  handler(callOf(key), (reply) => answered.resolve(reply));
  await answered.promise;
  const { key: shown } = loggedFields as { readonly key: string };
  assert.match(shown, /^(😀){100,130}…$/u);
});

test('what the condition of the log answers is one line without a stack', async () => {
  for (const error of [
    new OutOfRange(7),
    new LogDamaged({ fromSeq: 3, toSeq: 4, reason: 'altered', streams: [] }),
  ]) {
    logged.length = 0;
    const answered = Promise.withResolvers<unknown>();
    const handler = runner.unary('Why', () => Promise.reject(error));
    handler(call, (reply) => answered.resolve(reply));
    await answered.promise;
    await Promise.resolve();
    assert.equal(logged.length, 1, logged.join());
    assert.match(logged[0] ?? '', /^Why (OUT_OF_RANGE|DATA_LOSS)$/);
    assert.ok(!('err' in loggedFields));
  }
});

test('calls in progress are bounded', async () => {
  const release = Promise.withResolvers<undefined>();
  let endedCount = 0;
  const handler = runner.unary('Usage', async () => {
    await release.promise;
    return accepted({});
  });
  const refused = Promise.withResolvers<unknown>();
  for (let index = 0; index < concurrentCallsMax; index += 1) {
    handler(call, () => (endedCount += 1));
  }
  handler(call, (reply) => refused.resolve(reply));
  const { code, details } = (await refused.promise) as { code: number; details: string };
  assert.equal(status[code], 'RESOURCE_EXHAUSTED');
  assert.match(details, /4096 calls are in progress already: call again later/);
  release.resolve(undefined);
  await runner.whenIdle();
  assert.equal(endedCount, concurrentCallsMax);
});

test('the details of an answer are whole characters, and fit into a header', () => {
  const code = status.NOT_FOUND;
  assert.deepEqual(sendable({ code, details: 'short' }), { code, details: 'short' });
  for (const start of ['', 'a', 'ab']) {
    for (const character of ['😀', '€', 'x', '\ud800']) {
      const { details } = sendable({ code, details: start + character.repeat(20_000) });
      assert.ok(details.isWellFormed());
      assert.ok(encodeURI(details).length <= 8 * 1024, `${encodeURI(details).length} bytes`);
      assert.ok(details.endsWith('…'));
    }
  }
});
