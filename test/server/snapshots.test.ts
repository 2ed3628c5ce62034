// The gRPC error table: every failure in containerd's contract with its status, over a real socket.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import { servedNode, type ServedNode } from './served-node.ts';

type Call = (node: ServedNode) => Promise<{ readonly code: number; readonly details: string }>;

interface Row {
  readonly name: string;
  readonly call: Call;
  readonly code: status;
  readonly says: RegExp;
}

const prepared: Call = ({ snapshots: client }) => client.call(snapshots.prepare, { key: 'active' });

/** base (committed) ← active, view, child (committed). */
async function family(node: ServedNode): Promise<void> {
  const { snapshots: client } = node;
  const steps = [
    await client.call(snapshots.prepare, { key: 'base-key' }),
    await client.call(snapshots.commit, { key: 'base-key', name: 'base' }),
    await client.call(snapshots.prepare, { key: 'active', parent: 'base' }),
    await client.call(snapshots.view, { key: 'view', parent: 'base' }),
  ];
  for (const step of steps) assert.deepEqual({ ...step, value: undefined }, okReply);
}

const okReply = { code: 0, details: '', value: undefined };

const long = 'x'.repeat(4097);
/** Every way of cutting them after some even number of units splits one of these characters. */
const emoji = '😀';
const longEmoji = `a${emoji.repeat(1100)}`;
const longEmojiToo = emoji.repeat(1100);
const bigLabel = { 'containerd.io/snapshot/a': 'y'.repeat(4096) };
const { INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION } = status;

const rows: readonly Row[] = [
  {
    name: 'Prepare with an empty key',
    call: ({ snapshots: c }) => c.call(snapshots.prepare, { key: '' }),
    ...{ code: INVALID_ARGUMENT, says: /key.*empty/ },
  },
  {
    name: 'Prepare with a key over the limit',
    call: ({ snapshots: c }) => c.call(snapshots.prepare, { key: long }),
    ...{ code: INVALID_ARGUMENT, says: /4097 bytes.*4096/ },
  },
  ...[longEmoji, longEmojiToo].flatMap((name): readonly Row[] => [
    {
      name: `Prepare with a key of ${name.length} units over the limit`,
      call: ({ snapshots: c }) => c.call(snapshots.prepare, { key: name }),
      ...{ code: INVALID_ARGUMENT, says: /😀… has 440\d bytes.*4096/u },
    },
    {
      name: `Prepare with a label key of ${name.length} units over the limit`,
      call: ({ snapshots: c }) =>
        c.call(snapshots.prepare, { key: 'new', labels: { [name]: 'value' } }),
      ...{ code: INVALID_ARGUMENT, says: /label .*😀… has/u },
    },
    {
      name: `Commit with a parent of ${name.length} units over the limit`,
      call: ({ snapshots: c }) =>
        c.call(snapshots.commit, { key: 'active', name: 'n', parent: name }),
      ...{ code: INVALID_ARGUMENT, says: /parent .*😀… has 440\d bytes/u },
    },
    {
      name: `Update with a mask path of ${name.length} units`,
      call: ({ snapshots: c }) =>
        c.call(snapshots.update, { info: { name: 'active' }, updateMask: { paths: [name] } }),
      ...{ code: INVALID_ARGUMENT, says: /mask path .*😀…/u },
    },
    {
      name: `List with a faulty filter of ${name.length} units`,
      call: ({ snapshots: c }) => c.all(snapshots.list, { filters: [`name=="${name}" b${name}`] }),
      ...{ code: INVALID_ARGUMENT, says: /filter, character .*😀…/u },
    },
    {
      name: `Stat of an unknown key of ${name.length - 100} units`,
      call: ({ snapshots: c }) => c.call(snapshots.stat, { key: name.slice(0, -200) }),
      ...{ code: NOT_FOUND, says: /^snapshot "a?(😀)+…$/u },
    },
  ]),
  {
    name: 'Prepare with an unknown parent',
    call: ({ snapshots: c }) => c.call(snapshots.prepare, { key: 'new', parent: 'absent' }),
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  {
    name: 'Prepare with a parent that is not committed',
    call: ({ snapshots: c }) => c.call(snapshots.prepare, { key: 'new', parent: 'active' }),
    ...{ code: INVALID_ARGUMENT, says: /not committed/ },
  },
  {
    name: 'Prepare with a key that is taken by an active snapshot',
    call: ({ snapshots: c }) => c.call(snapshots.prepare, { key: 'active' }),
    ...{ code: ALREADY_EXISTS, says: /active/ },
  },
  {
    name: 'Prepare with a key that is taken by a committed snapshot',
    call: ({ snapshots: c }) => c.call(snapshots.prepare, { key: 'base' }),
    ...{ code: ALREADY_EXISTS, says: /base/ },
  },
  {
    name: 'Prepare with an unknown parent and a key that is taken: the parent wins',
    call: ({ snapshots: c }) => c.call(snapshots.prepare, { key: 'active', parent: 'absent' }),
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  {
    name: 'Prepare with a label over containerd’s limit',
    call: ({ snapshots: c }) => c.call(snapshots.prepare, { key: 'new', labels: bigLabel }),
    ...{ code: INVALID_ARGUMENT, says: /label.*4096/ },
  },
  {
    name: 'View with an unknown parent',
    call: ({ snapshots: c }) => c.call(snapshots.view, { key: 'new', parent: 'absent' }),
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  {
    name: 'View with a parent that is a view',
    call: ({ snapshots: c }) => c.call(snapshots.view, { key: 'new', parent: 'view' }),
    ...{ code: INVALID_ARGUMENT, says: /not committed/ },
  },
  {
    name: 'View with a key that is taken',
    call: ({ snapshots: c }) => c.call(snapshots.view, { key: 'view', parent: 'base' }),
    ...{ code: ALREADY_EXISTS, says: /view/ },
  },
  {
    name: 'Mounts of an unknown key',
    call: ({ snapshots: c }) => c.call(snapshots.mounts, { key: 'absent' }),
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  {
    name: 'Mounts of a committed snapshot',
    call: ({ snapshots: c }) => c.call(snapshots.mounts, { key: 'base' }),
    ...{ code: FAILED_PRECONDITION, says: /committed/ },
  },
  {
    name: 'Mounts of an empty key',
    call: ({ snapshots: c }) => c.call(snapshots.mounts, { key: '' }),
    ...{ code: INVALID_ARGUMENT, says: /empty/ },
  },
  {
    name: 'Commit of an unknown key',
    call: ({ snapshots: c }) => c.call(snapshots.commit, { key: 'absent', name: 'n' }),
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  {
    name: 'Commit under a name that is taken',
    call: ({ snapshots: c }) => c.call(snapshots.commit, { key: 'active', name: 'base' }),
    ...{ code: ALREADY_EXISTS, says: /base/ },
  },
  {
    name: 'Commit of a view',
    call: ({ snapshots: c }) => c.call(snapshots.commit, { key: 'view', name: 'n' }),
    ...{ code: FAILED_PRECONDITION, says: /view/ },
  },
  {
    name: 'Commit of a committed snapshot',
    call: ({ snapshots: c }) => c.call(snapshots.commit, { key: 'base', name: 'n' }),
    ...{ code: FAILED_PRECONDITION, says: /committed/ },
  },
  {
    name: 'Commit under an empty name',
    call: ({ snapshots: c }) => c.call(snapshots.commit, { key: 'active', name: '' }),
    ...{ code: INVALID_ARGUMENT, says: /name.*empty/ },
  },
  {
    name: 'Commit under a name over the limit',
    call: ({ snapshots: c }) => c.call(snapshots.commit, { key: 'active', name: long }),
    ...{ code: INVALID_ARGUMENT, says: /4097 bytes/ },
  },
  {
    name: 'Commit with a label over the limit',
    call: ({ snapshots: c }) =>
      c.call(snapshots.commit, { key: 'active', name: 'n', labels: bigLabel }),
    ...{ code: INVALID_ARGUMENT, says: /label/ },
  },
  {
    name: 'Commit with another parent than that of Prepare',
    call: async ({ snapshots: c }) => {
      await c.call(snapshots.prepare, { key: 'other-key' });
      await c.call(snapshots.commit, { key: 'other-key', name: 'other' });
      return c.call(snapshots.commit, { key: 'active', name: 'n', parent: 'other' });
    },
    ...{ code: INVALID_ARGUMENT, says: /other/ },
  },
  {
    name: 'Commit with an unknown parent, prepared without one',
    call: async (node) => {
      await node.snapshots.call(snapshots.prepare, { key: 'rootless' });
      return node.snapshots.call(snapshots.commit, {
        key: 'rootless',
        name: 'n',
        parent: 'absent',
      });
    },
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  {
    name: 'Commit with a parent that is not committed, prepared without one',
    call: async (node) => {
      await node.snapshots.call(snapshots.prepare, { key: 'rootless' });
      return node.snapshots.call(snapshots.commit, {
        key: 'rootless',
        name: 'n',
        parent: 'active',
      });
    },
    ...{ code: FAILED_PRECONDITION, says: /not committed|active/ },
  },
  {
    name: 'Remove of an unknown key',
    call: ({ snapshots: c }) => c.call(snapshots.remove, { key: 'absent' }),
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  {
    name: 'Remove of a snapshot with children',
    call: ({ snapshots: c }) => c.call(snapshots.remove, { key: 'base' }),
    ...{ code: FAILED_PRECONDITION, says: /base.*(active|view)/ },
  },
  {
    name: 'Remove of an empty key',
    call: ({ snapshots: c }) => c.call(snapshots.remove, { key: '' }),
    ...{ code: INVALID_ARGUMENT, says: /empty/ },
  },
  {
    name: 'Stat of an unknown key',
    call: ({ snapshots: c }) => c.call(snapshots.stat, { key: 'absent' }),
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  {
    name: 'Stat of a key over the limit',
    call: ({ snapshots: c }) => c.call(snapshots.stat, { key: long }),
    ...{ code: INVALID_ARGUMENT, says: /4096/ },
  },
  {
    name: 'Usage of an unknown key',
    call: ({ snapshots: c }) => c.call(snapshots.usage, { key: 'absent' }),
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  {
    name: 'Update without info',
    call: ({ snapshots: c }) => c.call(snapshots.update, {}),
    ...{ code: INVALID_ARGUMENT, says: /no info/ },
  },
  {
    name: 'Update without a name',
    call: ({ snapshots: c }) => c.call(snapshots.update, { info: {} }),
    ...{ code: INVALID_ARGUMENT, says: /name.*empty/ },
  },
  {
    name: 'Update of an unknown name',
    call: ({ snapshots: c }) => c.call(snapshots.update, { info: { name: 'absent' } }),
    ...{ code: NOT_FOUND, says: /absent/ },
  },
  ...['kind', 'parent', 'name', 'created_at', 'labelsx', 'labels.', ''].map((maskPath) => ({
    name: `Update with the mask path ${JSON.stringify(maskPath)}`,
    call: ({ snapshots: c }: ServedNode) =>
      c.call(snapshots.update, {
        info: { name: 'active', labels: { a: 'b' } },
        updateMask: { paths: ['labels.a', maskPath] },
      }),
    code: INVALID_ARGUMENT,
    says: /mask path/,
  })),
  {
    name: 'Update with a label over the limit',
    call: ({ snapshots: c }) =>
      c.call(snapshots.update, { info: { name: 'active', labels: bigLabel } }),
    ...{ code: INVALID_ARGUMENT, says: /label/ },
  },
  {
    name: 'Update with too many mask paths',
    call: ({ snapshots: c }) =>
      c.call(snapshots.update, {
        info: { name: 'active' },
        updateMask: { paths: Array.from({ length: 1025 }, (_, index) => `labels.${index}`) },
      }),
    ...{ code: INVALID_ARGUMENT, says: /1025 paths/ },
  },
  ...['name==', 'name==/a/b', 'a===b', "'x'==1", 'name=="x', 'kind==active '].map((filter) => ({
    name: `List with the filter ${JSON.stringify(filter)}`,
    call: ({ snapshots: c }: ServedNode) => c.all(snapshots.list, { filters: ['', filter] }),
    code: INVALID_ARGUMENT,
    says: /filter/,
  })),
  {
    name: 'List with too many filters',
    call: ({ snapshots: c }) =>
      c.all(snapshots.list, { filters: Array.from({ length: 257 }, () => 'kind==view') }),
    ...{ code: INVALID_ARGUMENT, says: /257 filters/ },
  },
  {
    name: 'a request that is no message',
    call: ({ snapshots: c }) => c.raw(snapshots.stat as never, Buffer.from([0x12, 0x7f, 0x41])),
    ...{ code: INVALID_ARGUMENT, says: /cannot be decoded/ },
  },
  {
    name: 'a key that is no UTF-8',
    call: ({ snapshots: c }) =>
      c.raw(snapshots.prepare as never, Buffer.from([0x12, 0x02, 0xc3, 0x28])),
    ...{ code: INVALID_ARGUMENT, says: /cannot be decoded.*(UTF|encoded)/i },
  },
  {
    name: 'a method that does not exist',
    call: ({ snapshots: c }) => c.call({ ...snapshots.stat, path: '/x.Y/Z' }, { key: 'active' }),
    ...{ code: status.UNIMPLEMENTED, says: /x\.Y\/Z/ },
  },
];

describe('a refused call has containerd’s status, says why, and changes nothing', () => {
  for (const { name, call, code, says } of rows) {
    test(name, async (t) => {
      const node = await servedNode(t);
      await family(node);
      const before = await node.snapshots.all(snapshots.list, {});
      const reply = await call(node);
      assert.equal(status[reply.code], status[code], reply.details);
      assert.match(reply.details, says);
      const after = await node.snapshots.all(snapshots.list, {
        filters: ['name~="^(active|view|base|base-key)$"'],
      });
      assert.deepEqual(after.messages, before.messages);
    });
  }
});

test('a full disk refuses Prepare and Commit, and nothing else', async (t) => {
  const node = await servedNode(t);
  await family(node);
  node.space.isLow = true;
  const { snapshots: client } = node;
  const codes = {
    prepare: (await client.call(snapshots.prepare, { key: 'k' })).code,
    view: (await client.call(snapshots.view, { key: 'k', parent: 'base' })).code,
    commit: (await client.call(snapshots.commit, { key: 'active', name: 'n' })).code,
    mounts: (await client.call(snapshots.mounts, { key: 'active' })).code,
    stat: (await client.call(snapshots.stat, { key: 'active' })).code,
    usage: (await client.call(snapshots.usage, { key: 'active' })).code,
    remove: (await client.call(snapshots.remove, { key: 'view' })).code,
    cleanup: (await client.call(snapshots.cleanup, {})).code,
    list: (await client.all(snapshots.list, {})).code,
  };
  const { RESOURCE_EXHAUSTED, OK } = status;
  assert.deepEqual(codes, {
    ...{ prepare: RESOURCE_EXHAUSTED, view: RESOURCE_EXHAUSTED, commit: RESOURCE_EXHAUSTED },
    ...{ mounts: OK, stat: OK, usage: OK, remove: OK, cleanup: OK, list: OK },
  });
});

test('a log that fails ends the process rather than answering', async (t) => {
  const node = await servedNode(t);
  const { LogFailure } = await import('../../src/engine/ports.ts');
  node.store.failure = new LogFailure('sync failed: EIO');
  const reply = await prepared(node);
  assert.notEqual(reply.code, 0);
  assert.deepEqual(node.fatal.map(({ name }) => name).slice(0, 1), ['LogFailure']);
  node.store.failure = undefined;
});
