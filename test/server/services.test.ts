// Health and reflection on both sockets, and what each socket serves.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  Client,
  credentials,
  status,
  type MethodDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import {
  inspectDefinition as inspect,
  snapshotsDefinition as snapshots,
} from '../../src/server/grpc/definitions.ts';
import { healthWatchesMax } from '../../src/server/grpc/limits.ts';
import { emptyState } from '../../src/server/history-reader.ts';
import { SocketServer } from '../../src/server/grpc/server.ts';
import { makeDirectory } from '../../src/adapters/system/directories.ts';
import { checkpointVersion } from '../../src/machines/checkpoint.ts';
import type { StoredEvent } from '../../src/machines/kernel/envelope.ts';
import { MemoryStore } from './memory-store.ts';
import { servedNode, type ServedNode } from './served-node.ts';
import type { TestClient } from './client.ts';

type Health = MethodDefinition<{ service: string }, { status: string }>;
const check = healthService['Check'] as unknown as Health;

const snapshotsName = 'containerd.services.snapshots.v1.Snapshots';
const adminNames = ['varve.v1.Control', 'varve.v1.EventLog', 'varve.v1.Inspect'];

async function health(client: TestClient, service: string): Promise<string | undefined> {
  const reply = await client.call(check, { service });
  return reply.value?.status ?? status[reply.code];
}

test('health knows the services of its own socket only', async (t) => {
  const node = await servedNode(t);
  assert.equal(await health(node.snapshots, ''), 'SERVING');
  assert.equal(await health(node.snapshots, snapshotsName), 'SERVING');
  assert.equal(await health(node.snapshots, 'varve.v1.Inspect'), 'NOT_FOUND');
  for (const name of ['', ...adminNames]) assert.equal(await health(node.admin, name), 'SERVING');
  assert.equal(await health(node.admin, snapshotsName), 'NOT_FOUND');
});

test('health is NOT_SERVING while the server starts, and calls are UNAVAILABLE', async (t) => {
  const booting = Promise.withResolvers<undefined>();
  const opening = Promise.withResolvers<ServedNode>();
  let node: ServedNode | undefined;
  const started = servedNode(t, {
    opening: async (store, spaceGuard) => {
      await booting.promise;
      return { status: 'open', opened: { store, damage: [] }, spaceGuard };
    },
    onListening: (listening) => opening.resolve(listening),
  });
  node = await opening.promise;
  assert.equal(await health(node.snapshots, snapshotsName), 'NOT_SERVING');
  const refused = await node.snapshots.call(snapshots.stat, { key: 'k' });
  assert.deepEqual([status[refused.code], /starting/.test(refused.details)], ['UNAVAILABLE', true]);
  booting.resolve(undefined);
  node = await started;
  assert.equal(await health(node.snapshots, snapshotsName), 'SERVING');
});

test('Watches of health are bounded, and those that end make room', async (t) => {
  const node = await servedNode(t);
  const watch = healthService['Watch'] as unknown as Health;
  const open = () => node.snapshots.open(watch, { service: '' });
  const ended = (stream: ReturnType<typeof open>): Promise<string> =>
    new Promise((resolve) => {
      stream.on('error', (error: ServiceError) => resolve(status[error.code]));
    });
  const begun = (stream: ReturnType<typeof open>): Promise<unknown> =>
    new Promise((resolve) => stream.once('data', resolve));
  const watches = Array.from({ length: healthWatchesMax }, open);
  const ends = watches.map(ended);
  await Promise.all(watches.map(begun));
  const last = node.snapshots.call(check, { service: '' });
  assert.equal(await ended(open()), 'RESOURCE_EXHAUSTED');
  assert.equal((await last).value?.status, 'SERVING');
  watches[0]?.cancel();
  assert.equal(await ends[0], 'CANCELLED');
  // The server hears of it before the call that comes after it.
  await node.snapshots.call(check, { service: '' });
  const another = open();
  const end = ended(another);
  assert.deepEqual(await begun(another), { status: 'SERVING' });
  for (const one of [...watches, another]) one.cancel();
  await Promise.all([...ends, end]);
});

test('a history that does not fold leaves the server up, not in a crash loop', async (t) => {
  const store = new MemoryStore();
  const event = { globalSeq: 1, stream: 'snapshot-1', revision: 1, schemaVersion: 1, timeUs: 1 };
  const data = { operationId: 1 };
  const cause = { kind: 'rpc' } as const;
  await store.append([{ ...event, type: 'SnapshotRemoved', data, cause }]);
  const node = await servedNode(t, { store });
  assert.equal(await health(node.snapshots, ''), 'NOT_SERVING');
  const refused = await node.snapshots.call(snapshots.prepare, { key: 'k' });
  assert.equal(status[refused.code], 'UNAVAILABLE');
  assert.match(refused.details, /cannot be folded.*varve repair/);
  assert.deepEqual(node.fatal, []);
  const answered = await node.admin.call(inspect.status, {});
  const document = JSON.parse(answered.value?.json ?? '{}') as { condition: string };
  assert.equal(document.condition, 'damaged');
});

/** A history of which nothing is wrong: of a server that served and was stopped. */
async function history(t: TestContext): Promise<MemoryStore> {
  const node = await servedNode(t);
  await node.snapshots.call(snapshots.prepare, { key: 'k' });
  await node.server.stop('for the test');
  return node.store;
}

test('a checkpoint of a newer version is passed over for an older one, or for the log', async (t) => {
  const store = await history(t);
  const [known] = store.checkpoints;
  assert.ok(known !== undefined);
  const newer = { ...known, checkpointVersion: checkpointVersion + 1 };
  for (const checkpoints of [[newer], [emptyState, newer]]) {
    store.checkpoints.splice(0, store.checkpoints.length, ...checkpoints);
    const node = await servedNode(t, { store });
    assert.equal(await health(node.snapshots, ''), 'SERVING');
    assert.equal((await node.snapshots.call(snapshots.mounts, { key: 'k' })).code, status.OK);
    await node.server.stop('for the test');
  }
});

test('what only a newer version knows is refused at start by its name', async (t) => {
  const store = await history(t);
  store.events.splice(-1, 1, { ...(store.events.at(-1) as StoredEvent), schemaVersion: 99 });
  store.checkpoints.length = 0;
  const refusal = { name: 'StartRefused', message: /NodeStopped version 99 .* newer varve/ };
  await assert.rejects(servedNode(t, { store }), refusal);
  assert.ok(store.isClosed);
  const compacted = await history(t);
  const [horizon] = compacted.checkpoints;
  assert.ok(horizon !== undefined);
  await compacted.compact(horizon, new Set());
  compacted.checkpoints.splice(0, 2, { ...horizon, checkpointVersion: 99 });
  await assert.rejects(servedNode(t, { store: compacted }), {
    name: 'StartRefused',
    message: /checkpoint version 99 was written by a newer varve: start that version/,
  });
});

/** The services that reflection lists, and whether it describes a symbol. */
async function reflected(
  t: TestContext,
  address: string,
  symbol: string,
): Promise<{ readonly services: readonly string[]; readonly describes: boolean }> {
  const { loadSync } = await import('@grpc/proto-loader');
  const proto = new URL(
    '../../node_modules/@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto',
    import.meta.url,
  );
  const loaded = loadSync(proto.pathname) as unknown as Record<string, Record<string, Method>>;
  const method = loaded['grpc.reflection.v1.ServerReflection']?.['ServerReflectionInfo'];
  assert.ok(method);
  const client = new Client(`unix:${address}`, credentials.createInsecure());
  t.after(() => client.close());
  const stream = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
  );
  const ask = (request: object): Promise<Reflected> => {
    const answer = new Promise<Reflected>((resolve, reject) => {
      stream.once('data', resolve);
      stream.once('error', reject);
    });
    stream.write(request);
    return answer;
  };
  const listed = await ask({ listServices: '*' });
  const described = await ask({ fileContainingSymbol: symbol });
  stream.end();
  return {
    services: (listed.listServicesResponse?.service ?? []).map(({ name }) => name).sort(),
    describes: (described.fileDescriptorResponse?.fileDescriptorProto ?? []).length > 0,
  };
}

type Method = MethodDefinition<object, Reflected>;
interface Reflected {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Uint8Array[] };
}

test('reflection lists and describes the services of its own socket', async (t) => {
  const { configuration } = await servedNode(t);
  assert.deepEqual(await reflected(t, configuration.address, `${snapshotsName}.Prepare`), {
    services: [snapshotsName],
    describes: true,
  });
  assert.deepEqual(await reflected(t, configuration.adminAddress, 'varve.v1.EventLog.Watch'), {
    services: adminNames,
    describes: true,
  });
});

test('of two servers that take one address at once, one is told that the other answers', async (t) => {
  const { configuration } = await servedNode(t);
  const address = `${configuration.address}.contested`;
  const umask = process.umask(0o022);
  t.after(() => process.umask(umask));
  const servers = [new SocketServer([]), new SocketServer([])];
  t.after(() => Promise.all(servers.map((server) => server.close(0))));
  const taken = await Promise.allSettled(
    servers.map((server) => server.listen(address, { makeDirectory })),
  );
  const refusals = taken.flatMap((one) =>
    one.status === 'rejected' ? [(one.reason as Error).message] : [],
  );
  assert.deepEqual(refusals, [
    `another server answers on ${address}: stop it or choose another address`,
  ]);
});

test('each socket refuses the other’s services', async (t) => {
  const node = await servedNode(t);
  const crossed = [
    await node.snapshots.call(inspect.status, {}),
    await node.admin.call(snapshots.stat, { key: 'k' }),
  ];
  assert.deepEqual(
    crossed.map(({ code }) => status[code]),
    ['UNIMPLEMENTED', 'UNIMPLEMENTED'],
  );
});
