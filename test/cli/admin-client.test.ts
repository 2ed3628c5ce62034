// Daemons that do not answer as they should: mute ones, wrong sockets, full ones. Each is told in
// one line with what to do, and none is asked again and again.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, test } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { fakeDaemon } from './fake-daemon.ts';
import { scratch, varve } from './varve.ts';

interface WatchRequest {
  readonly afterSeq?: number;
}
type WatchCall = ServerWritableStream<WatchRequest, object>;

const place = scratch();
after(() => place.remove());
const inPlace = (name: string): string => path.join(place.path, name);

/** A status document, as far as the commands look at it. */
const statusOf = (firstSeq: number, lastSeq: number) => ({
  status: (_call: unknown, callback: (error: null, reply: object) => void) =>
    callback(null, { json: JSON.stringify({ log: { firstSeq, lastSeq } }) }),
});

test('a daemon that accepts and says nothing is told of, not waited for', async () => {
  const socket = inPlace('mute.sock');
  const connections = new Set<{ destroy: () => unknown }>();
  const server = createServer((connection) => connections.add(connection));
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    const { code, stderr } = await varve(['status', '--admin-address', socket]);
    assert.match(stderr, /^varve: the varve daemon at .*mute\.sock does not answer: [^\n]*\n$/);
    assert.equal(code, 3);
  } finally {
    for (const connection of connections) connection.destroy();
    server.close();
  }
});

test('the Snapshots socket in place of the admin one is called by its name', async () => {
  const socket = inPlace('snapshots.sock');
  const stop = await fakeDaemon(socket, {});
  try {
    const { code, stderr } = await varve(['ls', '--admin-address', socket]);
    assert.match(stderr, /^varve: .*snapshots\.sock answers, but not as an admin socket: if it is/);
    assert.match(stderr, /name it with --address/);
    assert.equal(code, 1);
  } finally {
    stop();
  }
});

/** What a follower asks for in turn, and how it ends, when `answer` ends each of its Watches. */
async function followed(
  name: string,
  answer: (call: WatchCall, index: number) => void,
  args: readonly string[] = [],
) {
  const asked: number[] = [];
  const socket = inPlace(name);
  const watch = (call: WatchCall): void => {
    asked.push(call.request.afterSeq ?? 0);
    answer(call, asked.length);
  };
  const stop = await fakeDaemon(socket, {
    inspect: statusOf(61, 70) as never,
    eventLog: { watch: watch as never },
  });
  try {
    const ended = await varve(['events', '--follow', ...args, '--admin-address', socket]);
    return { ...ended, asked };
  } finally {
    stop();
  }
}

const fails = (call: WatchCall, code: status, details: string, metadata = new Metadata()): void =>
  void call.emit('error', { code, details, metadata });

test('a follower that finds no place says so at once', async () => {
  const { code, stderr, asked } = await followed('full.sock', (call) =>
    fails(call, status.RESOURCE_EXHAUSTED, '256 Watches are open already'),
  );
  assert.equal(stderr, 'varve: 256 Watches are open already: end one, then try again\n');
  assert.equal(code, 1);
  assert.deepEqual(asked, [0]);
});

test('a follower that was cut off for being slow goes on where it stopped', async () => {
  const { asked, stderr } = await followed('slow.sock', (call, index) => {
    call.write({ bookmark: { globalSeq: 60 + index } });
    const metadata = new Metadata();
    metadata.set('varve-resume-after', String(60 + index));
    if (index < 3) fails(call, status.RESOURCE_EXHAUSTED, 'cut off', metadata);
    else fails(call, status.UNAVAILABLE, 'varve is stopping');
  });
  assert.deepEqual(asked, [0, 61, 62]);
  assert.equal(stderr, 'varve: varve is stopping: go on with varve events --follow --from 64\n');
});

test('a follower is not told to go on where it never was', async () => {
  const { stderr } = await followed('damaged.sock', (call) =>
    fails(call, status.UNAVAILABLE, 'the log is damaged: run varve repair'),
  );
  assert.equal(stderr, 'varve: the log is damaged: run varve repair\n');
});

test('to follow from a position that is compacted away, or far off, is refused', async () => {
  const never = (): void => assert.fail('it must not be followed');
  const early = await followed('early.sock', never, ['--from', '1']);
  assert.equal(early.code, 5);
  assert.match(early.stderr, /the log begins at 61, .* follow it with --from 61\n$/);
  const late = await followed('late.sock', never, ['--from', '72']);
  assert.equal(late.code, 5);
  assert.match(late.stderr, /position 72 is not reached yet: the log ends at 70, name one up to/);
});
