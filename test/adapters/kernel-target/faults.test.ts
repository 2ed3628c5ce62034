// What the kernel's target does seldom: orders that it refuses again and again, disks that do not
// appear or are others, processes that hang in it, and a way back that fails as well.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EffectFailure } from '../../../src/machines/kernel/envelope.ts';
import type { EffectResult } from '../../../src/engine/ports.ts';
import { KernelTarget } from '../../../src/adapters/kernel-target/transport.ts';
import { core, deviceId, fakeNode, port, snapshotsOf, type FakeNode } from './devices.ts';

function failureOf(result: EffectResult<unknown>): EffectFailure {
  assert.ok(!result.ok, 'it should fail');
  return result.failure;
}

const attach = async (node: FakeNode): Promise<EffectFailure> =>
  failureOf(await node.devices().attach(deviceId));

const isNothingLeft = ({ kernel: { cores, ports } }: FakeNode): boolean =>
  cores.size + ports.size === 0;

/** Once the fault has gone it works. */
async function assertWorks(node: FakeNode): Promise<void> {
  node.kernel.fault = () => undefined;
  const attached = await node.devices().attach(deviceId);
  assert.ok(attached.ok, JSON.stringify(attached));
}

const isEnable = ({ path = '' }: { readonly path?: string }): boolean => path.endsWith('/enable');

test('an enable that is refused for a moment is tried again every 50 ms', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  let refusals = 99;
  node.kernel.fault = (request) =>
    request.operation === 'write-attribute' && isEnable(request) && refusals-- > 0
      ? 'EAGAIN'
      : undefined;
  assert.ok((await node.devices().attach(deviceId)).ok);
  assert.deepEqual(
    node.waits,
    Array.from({ length: 99 }, () => 50),
  );
});

test('one that is refused for 5 s fails with what the daemon says, and leaves nothing', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  node.says('failed:of an earlier attempt');
  let count = 0;
  node.kernel.fault = (request) => {
    if (request.operation !== 'write-attribute' || !isEnable(request)) return undefined;
    count += 1;
    if (count === 40) node.says('failed:no such layer');
    return 'EAGAIN';
  };
  const { code, message } = await attach(node);
  assert.equal(count, 100);
  assert.equal(code, 'EAGAIN');
  assert.match(
    message,
    /for 5 s the kernel took no new devices.*init-debug\.log says: failed:no such/,
  );
  assert.ok(isNothingLeft(node));
  await assertWorks(node);
});

test('R-05b: what a daemon said of an earlier attempt is not told of this one', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  node.says('failed:of an earlier attempt');
  node.kernel.fault = (request) =>
    request.operation === 'write-attribute' && isEnable(request) ? 'ENOENT' : undefined;
  const { code, message } = await attach(node);
  assert.equal(code, 'ENOENT');
  assert.doesNotMatch(message, /says/);
});

const absences = [
  ['nothing', 'a disk', /a disk at the SCSI address 7:0:1:0 did not appear within 10 s/],
  ['disk', 'a node', /the node \/dev\/sdb did not appear within 10 s/],
  ['otherNode', 'the right node', /the node \/dev\/sdb did not appear within 10 s/],
] as const;

for (const [appears, what, missing] of absences) {
  test(`R-03: where ${what} never appears it is named, and all is undone`, async (t) => {
    const node = fakeNode(snapshotsOf(t));
    node.kernel.appears = appears;
    const { code, message } = await attach(node);
    assert.equal(code, 'ETIMEDOUT');
    assert.match(message, missing);
    assert.ok(isNothingLeft(node));
    node.kernel.appears = 'all';
    await assertWorks(node);
  });
}

test('a disk that says that it is another is never used', async (t) => {
  const others: readonly (readonly [
    Partial<Pick<FakeNode['kernel'], 'vendor' | 'page'>>,
    RegExp,
  ])[] = [
    [{ vendor: 'ATA     ' }, /it is ATA TCMU device/],
    [{ page: () => 'LIO-ORG user_999999999-dev_71\\x01' }, /it is user_999999999-dev_71/],
    [{ page: () => 'overlaybd//elsewhere/config.v1.json' }, /it is overlaybd\/\/elsewhere/],
  ];
  for (const [says, other] of others) {
    const node = fakeNode(snapshotsOf(t));
    Object.assign(node.kernel, says);
    const { code, message } = await attach(node);
    assert.equal(code, 'ENODEV');
    assert.match(message, other);
    assert.ok(isNothingLeft(node));
  }
  const node = fakeNode(snapshotsOf(t));
  node.kernel.page = () => `\\x00LIO-ORG ${node.config}`;
  await assertWorks(node);
});

test('a process that hangs in the kernel is left behind, and nothing touches its device', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  node.kernel.fault = (request) =>
    request.operation === 'write-attribute' && isEnable(request)
      ? { abandoned: true, message: 'not done within 1000 ms, and it cannot be stopped' }
      : undefined;
  const { code, message } = await attach(node);
  assert.equal(code, 'ETIMEDOUT');
  assert.match(message, /cannot be stopped/);
  // The next server knows nothing of that process.
  node.kernel.fault = () => undefined;
  node.kernel.enabling = ['process 77 (varve-helper)'];
  const before = [...node.kernel.orders];
  for (const again of [
    await node.devices().attach(deviceId),
    await node.devices().detach(deviceId),
  ]) {
    const failure = failureOf(again);
    assert.equal(failure.code, 'EBUSY');
    assert.match(failure.message, /process 77 \(varve-helper\) still enables it/);
  }
  assert.deepEqual(node.kernel.orders, before);
  node.kernel.enabling = [];
  await assertWorks(node);
});

const ways = [
  [`lun_0/dev_${deviceId}`, 'remove-link'],
  ['lun_0', 'remove-directory'],
  ['tpgt_1', 'remove-directory'],
  [port, 'remove-directory'],
  [core, 'remove-directory'],
] as const;

for (const [name, operation] of ways) {
  test(`an attach whose way back ends at ${name} says both, and is completed later`, async (t) => {
    const node = fakeNode(snapshotsOf(t));
    node.kernel.fault = (request) => {
      if (request.operation === operation && request.path.endsWith(`/${name}`)) return 'EIO';
      return request.operation === 'write-attribute' && request.path.startsWith('/sys/block/')
        ? 'EPERM'
        : undefined;
    };
    const { code, message } = await attach(node);
    assert.equal(code, 'EPERM');
    assert.match(message, /timeout: EPERM; what was built is still there: .*EIO/);
    assert.ok(!isNothingLeft(node));
    await assertWorks(node);
    assert.ok((await node.devices().detach(deviceId)).ok);
    assert.ok(isNothingLeft(node));
  });
}

test('a detach that fails half-way is gone on with', async (t) => {
  for (const [name, operation] of ways) {
    const node = fakeNode(snapshotsOf(t));
    await assertWorks(node);
    node.kernel.fault = (request) =>
      request.operation === operation && request.path.endsWith(`/${name}`) ? 'EIO' : undefined;
    assert.equal(failureOf(await node.devices().detach(deviceId)).code, 'EIO');
    node.kernel.fault = () => undefined;
    assert.ok((await node.devices().detach(deviceId)).ok);
    assert.ok(isNothingLeft(node));
  }
});

test('a disk that goes while it is taken was that of a device before: the next is taken', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  let goneCount = 1;
  node.kernel.fault = ({ operation, ...request }) => {
    const path = 'path' in request ? request.path : '';
    const isTaken = operation === 'read-attribute' && path.startsWith('/sys/block/');
    return isTaken && goneCount-- > 0 ? 'ENOENT' : undefined;
  };
  const attached = await node.devices().attach(deviceId);
  assert.ok(attached.ok, JSON.stringify(attached));
  assert.equal(node.kernel.diskTimeOut, '2147483');
  assert.ok((await node.devices().detach(deviceId)).ok);
  goneCount = 2;
  assert.equal((await attach(node)).code, 'ENOENT');
  assert.ok(isNothingLeft(node));
});

test('one that cannot be looked at is told as such, and hides no other', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  await assertWorks(node);
  for (const id of ['dev_8', 'dev_9']) {
    const config = node.config.replace('/7/', `/${id.slice('dev_'.length)}/`);
    const device = { config, dataArea: '4', timeOut: '2147483', isEnabled: false };
    node.kernel.cores.set(`user_999999999/${id}`, device);
  }
  node.kernel.fault = (request) =>
    'path' in request && request.path.includes('/dev_8/') ? 'EBUSY' : undefined;
  const observed = await node.served().observe(new Map());
  assert.ok(observed.ok);
  assert.deepEqual(
    observed.value.map(({ unseen, ...seen }) => ({ ...seen, code: unseen?.code })),
    [
      { deviceId, path: '/dev/sdb', isMounted: false, code: undefined },
      { deviceId: 8, path: null, isMounted: false, code: 'EBUSY' },
      { deviceId: 9, path: null, isMounted: false, code: undefined },
    ],
  );
});

test('a disk that somebody uses is not taken away, and says by whom', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  await assertWorks(node);
  node.kernel.users = ['process 12 (cat) has it open as descriptor 3'];
  const { code, message } = failureOf(await node.devices().detach(deviceId));
  assert.equal(code, 'EBUSY');
  assert.match(message, /\/dev\/sdb is in use: process 12 \(cat\)/);
  assert.equal(node.kernel.ports.size, 1);
});

test('where nobody serves the target nothing is begun, and no disk is taken away', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  node.servedBy = undefined;
  const { code, message } = await attach(node);
  assert.equal(code, 'ECONNREFUSED');
  assert.match(message, /start varve-bd with --tcmu, or overlaybd-tcmu/);
  assert.deepEqual(node.kernel.orders, []);
  assert.deepEqual(await node.devices().offers(), { ok: true, value: [] });
  node.servedBy = 'a daemon';
  assert.deepEqual(await node.devices().offers(), { ok: true, value: ['tcmu'] });
  await assertWorks(node);
  node.servedBy = undefined;
  assert.equal(failureOf(await node.devices().detach(deviceId)).code, 'ECONNREFUSED');
  assert.equal(node.kernel.ports.size, 1);
});

test('R-17c: what is another’s is not touched, whichever part of it is there', async (t) => {
  const foreign = {
    config: 'overlaybd//elsewhere',
    dataArea: '4',
    timeOut: '30',
    isEnabled: false,
  };
  const link = { name: `dev_${deviceId}`, target: '../../target/core/user_5/dev_7' };
  const parts: readonly ((node: FakeNode) => void)[] = [
    ({ kernel }) => kernel.cores.set(core, { ...foreign }),
    ({ kernel }) => kernel.cores.set(core, { ...foreign, isEnabled: true }),
    ({ kernel }) => kernel.cores.set(core, { ...foreign, config: '', isEnabled: true }),
    ({ kernel }) => kernel.ports.set(port, { hasGroup: true, hasUnit: true, nexus: port, link }),
    ({ kernel }) =>
      kernel.ports.set(port, {
        ...{ hasGroup: true, hasUnit: true, nexus: port },
        link: { name: 'dev_71', target: `../target/core/${core}` },
      }),
  ];
  for (const put of parts) {
    const node = fakeNode(snapshotsOf(t));
    put(node);
    const { code, message } = await attach(node);
    assert.equal(code, 'EEXIST');
    assert.match(message, /not of this root and is left alone; take it away/);
    assert.deepEqual(await node.devices().detach(deviceId), { ok: true, value: undefined });
    assert.deepEqual(await node.devices().find(deviceId), { ok: true, value: undefined });
    assert.deepEqual(node.kernel.orders, []);
  }
});

test('R-17c: a device that came with another tenant stays, and goes from there', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  await assertWorks(node);
  const later = node.devices(undefined, 7);
  const found = await later.find(deviceId);
  assert.deepEqual(found, await node.devices().find(deviceId));
  assert.ok(found.ok && found.value !== undefined);
  const sighted = { ok: true, value: [{ deviceId, path: '/dev/sdb' }] };
  assert.deepEqual(await later.sightings(), sighted);
  // An empty port of that tenant is nothing of ours.
  assert.ok((await later.detach(deviceId)).ok);
  assert.ok(isNothingLeft(node));
  node.kernel.ports.set(port, { hasGroup: true, hasUnit: false, nexus: null, link: null });
  assert.ok((await later.detach(deviceId)).ok);
  assert.equal(node.kernel.ports.size, 1);
});

test('paths that the kernel would read as others are refused before anything is touched', async (t) => {
  const node = fakeNode(snapshotsOf(t));
  const refusals: Readonly<Record<string, RegExp>> = {
    '/a,b': /splits what it is told at commas/,
    '/a\nb': /splits what it is told at commas and newlines/,
    '/a;b': /what follows a semicolon is taken for a name/,
    [`/${'a'.repeat(240)}`]: /has \d+ bytes there, and the kernel keeps 255/,
  };
  for (const [snapshotsPath, reason] of Object.entries(refusals)) {
    const devices = new KernelTarget({
      ...{ tenant: -1, snapshotsPath, pool: node.kernel.pool, deadlineMs: 1_000 },
      ...{ crashPoint: () => undefined, servedBy: async () => 'a daemon' },
    });
    const failure = failureOf(await devices.attach(deviceId));
    assert.equal(failure.code, 'EINVAL');
    assert.match(failure.message, reason);
    assert.deepEqual(await devices.offers(), { ok: true, value: [] });
  }
  const { code } = failureOf(await node.devices().attach(10_000_000_000_000));
  assert.equal(code, 'ENAMETOOLONG');
  assert.deepEqual(node.kernel.orders, []);
});
