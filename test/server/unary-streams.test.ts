// Calls with one answer, as bytes on HTTP/2 streams: what no well-behaved client library sends.
import assert from 'node:assert/strict';
import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import { once } from 'node:events';
import { connect as connectTo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import { requestBytesMax } from '../../src/server/grpc/limits.ts';
import { framed } from '../../src/server/grpc/message-frame.ts';
import { servedNode, type ServedNode } from './served-node.ts';

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly code: number;
  readonly details: string;
}

async function session(t: TestContext, node: ServedNode): Promise<ClientHttp2Session> {
  await node.snapshots.connected();
  const client = connect(`http://localhost`, {
    createConnection: () => connectTo(node.configuration.address),
  });
  t.after(() => client.destroy());
  return client;
}

const ordinary = {
  ':method': 'POST',
  ':path': snapshots.stat.path,
  'content-type': 'application/grpc',
  te: 'trailers',
};

/** Sends each chunk as a frame of its own. */
async function ask(
  client: ClientHttp2Session,
  chunks: readonly Buffer[],
  headers: Record<string, string> = {},
): Promise<Answer> {
  const stream = client.request({ ...ordinary, ...headers });
  const answered = once(stream, 'response') as Promise<[IncomingHttpHeaders]>;
  let trailers: IncomingHttpHeaders = {};
  stream.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
  // What is sent after a refusal meets a stream that is closed.
  stream.on('error', () => undefined);
  for (const chunk of chunks) await new Promise((resolve) => stream.write(chunk, resolve));
  stream.end();
  const [answer] = await answered;
  const body: Buffer[] = [];
  for await (const chunk of stream) body.push(chunk as Buffer);
  const all = { ...answer, ...trailers };
  const details = decodeURI(String(all['grpc-message'] ?? ''));
  return { headers: answer, body: Buffer.concat(body), code: Number(all['grpc-status']), details };
}

const request = (key: string): Buffer => framed(snapshots.stat.requestSerialize({ key }));

/** grpc-js says in every answer what it can decompress. */
const isFromGrpc = ({ headers }: Answer): boolean => 'grpc-accept-encoding' in headers;

async function servedKey(t: TestContext): Promise<ClientHttp2Session> {
  const node = await servedNode(t);
  await node.snapshots.call(snapshots.prepare, { key: 'k' });
  return session(t, node);
}

test('a request is the same however it is cut into frames', async (t) => {
  const client = await servedKey(t);
  const bytes = request('k');
  for (const cuts of [[], [1], [4], [5], [1, 2, 3, 4, 5, 6, 7]]) {
    const ends = [...cuts, bytes.length];
    const chunks = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
    const answer = await ask(client, chunks);
    assert.equal(answer.code, status.OK, answer.details);
    assert.equal(isFromGrpc(answer), false);
    const { info } = snapshots.stat.responseDeserialize(answer.body.subarray(5));
    assert.equal(info?.name, 'k');
  }
});

test('a request of any other than one message is refused', async (t) => {
  const client = await servedKey(t);
  const bytes = request('k');
  const refused = async (chunks: readonly Buffer[]): Promise<unknown[]> => {
    const answer = await ask(client, chunks);
    return [status[answer.code], answer.details, isFromGrpc(answer)];
  };
  const none = ['UNIMPLEMENTED', 'the request has no message', false];
  assert.deepEqual(await refused([]), none);
  assert.deepEqual(await refused([bytes.subarray(0, 3)]), none);
  assert.deepEqual(await refused([bytes.subarray(0, -1)]), none);
  const tooMany = ['UNIMPLEMENTED', 'the request has more than one message', false];
  assert.deepEqual(await refused([bytes, bytes]), tooMany);
  assert.deepEqual(await refused([Buffer.concat([bytes, Buffer.of(0)])]), tooMany);
});

test('a request that is too long is refused by what its frame says', async (t) => {
  const client = await servedKey(t);
  const header = Buffer.alloc(5);
  header.writeUInt32BE(requestBytesMax + 1, 1);
  const { code, details } = await ask(client, [header]);
  assert.equal(status[code], 'RESOURCE_EXHAUSTED');
  assert.match(details, /the request has 4194305 bytes; at most 4194304 are allowed/);
  assert.equal((await ask(client, [request('k')])).code, status.OK);
});

test('a compressed request is read if it names its compression, and refused if not', async (t) => {
  const client = await servedKey(t);
  const compressed = framed(gzipSync(snapshots.stat.requestSerialize({ key: 'k' })));
  compressed[0] = 1;
  const named = await ask(client, [compressed], { 'grpc-encoding': 'gzip' });
  assert.deepEqual([status[named.code], isFromGrpc(named)], ['OK', true]);
  const unnamed = await ask(client, [compressed]);
  assert.equal(status[unnamed.code], 'INTERNAL');
  assert.match(unnamed.details, /names no compression/);
});

test('a request of another content type is answered as HTTP says', async (t) => {
  const client = await servedKey(t);
  const { headers } = await ask(client, [request('k')], { 'content-type': 'text/plain' });
  assert.equal(headers[':status'], 415);
});

test('a call whose deadline passes before its request is whole is answered so', async (t) => {
  const client = await servedKey(t);
  for (const timeout of ['20m', '20000u', '1n']) {
    const stream = client.request({ ...ordinary, 'grpc-timeout': timeout });
    stream.write(request('k').subarray(0, -1));
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    assert.equal(Number(headers['grpc-status']), status.DEADLINE_EXCEEDED, timeout);
    stream.close();
  }
});

test('a deadline that cannot be read is refused, and one far away holds nobody up', async (t) => {
  const client = await servedKey(t);
  const asked = (timeout: string): Promise<Answer> =>
    ask(client, [request('k')], { 'grpc-timeout': timeout });
  assert.equal(status[(await asked('soon')).code], 'INTERNAL');
  for (const timeout of ['99999999H', '10S']) {
    const answer = await asked(timeout);
    assert.deepEqual([status[answer.code], isFromGrpc(answer)], ['OK', false]);
  }
});

test('a call that its caller gave up is not answered, and costs no other', async (t) => {
  const measured = Promise.withResolvers<undefined>();
  const asked = Promise.withResolvers<undefined>();
  const node = await servedNode(t, {
    operations: {
      diskUsage: {
        commit: () => Promise.reject(new Error('nothing is committed')),
        query: async () => {
          asked.resolve(undefined);
          await measured.promise;
          return { ok: true, value: { sizeBytes: 1, inodeCount: 1 } };
        },
      },
    },
  });
  await node.snapshots.call(snapshots.prepare, { key: 'k' });
  const client = await session(t, node);
  const stream = client.request({ ...ordinary, ':path': snapshots.usage.path });
  stream.end(framed(snapshots.usage.requestSerialize({ key: 'k' })));
  await asked.promise;
  const closed = once(stream, 'close');
  stream.close(8);
  await closed;
  measured.resolve(undefined);
  assert.equal((await ask(client, [request('k')])).code, status.OK);
  assert.deepEqual(node.fatal, []);
});
