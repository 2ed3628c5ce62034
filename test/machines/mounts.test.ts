// The mount table for directory-backed snapshots: type, source, options and their order.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mountsOf, type Lower, type MountRequest } from '../../src/machines/snapshot/mounts.ts';
import { parentChainIdLabel } from '../../src/machines/snapshot/role.ts';
import { fold, labelsUpdated, prepared, type Step } from './given.ts';

const base: MountRequest = {
  snapshotId: 9,
  role: 'containerLayer',
  mode: 'overlayfs',
  device: null,
  isRemote: false,
  awaitsParent: false,
  lowers: [],
  directory: '/var/lib/varve/snapshots',
  indexOff: true,
  overlayType: 'overlay',
};
const mounts = (changes: Partial<MountRequest>) => mountsOf({ ...base, ...changes });
const layers = (...ids: readonly number[]): readonly Lower[] =>
  ids.map((snapshotId) => ({ snapshotId, kind: 'directory' }));
const fs = (id: number): string => `/var/lib/varve/snapshots/${id}/fs`;
const overlay = (...options: readonly string[]) => [
  { type: 'overlay', source: 'overlay', options },
];
const bind = (source: string, access: 'ro' | 'rw') => [
  { type: 'bind', source, options: [access, 'rbind'] },
];
const writable = ['imageLayer', 'initLayer', 'containerLayer'] as const;
const upper = ['workdir=/var/lib/varve/snapshots/9/work', `upperdir=${fs(9)}`];

test('no parent, active: a writable bind of its own directory', () => {
  for (const role of writable) assert.deepEqual(mounts({ role }), bind(fs(9), 'rw'));
});

test('where a program mounts overlays its type stands in the place of the kernel’s', () => {
  const request = { lowers: layers(7, 5), indexOff: false };
  const [byProgram] = mounts({ ...request, overlayType: 'fuse3.fuse-overlayfs' });
  const [byKernel] = mounts(request);
  assert.deepEqual(byProgram, { ...byKernel, type: 'fuse3.fuse-overlayfs' });
});

test('no parent, view: a read-only bind of its own directory', () => {
  assert.deepEqual(mounts({ role: 'view' }), bind(fs(9), 'ro'));
});

test('one parent, view: a read-only bind of the parent’s directory', () => {
  assert.deepEqual(mounts({ role: 'view', lowers: layers(7) }), bind(fs(7), 'ro'));
});

test('one parent or more, active: overlay with index, work, upper and lower, in this order', () => {
  for (const role of writable) {
    assert.deepEqual(
      mounts({ role, lowers: layers(7) }),
      overlay('index=off', ...upper, `lowerdir=${fs(7)}`),
    );
    assert.deepEqual(
      mounts({ role, lowers: layers(7, 5, 2) }),
      overlay('index=off', ...upper, `lowerdir=${fs(7)}:${fs(5)}:${fs(2)}`),
    );
  }
});

test('two parents or more, view: overlay of lower directories alone', () => {
  assert.deepEqual(
    mounts({ role: 'view', lowers: layers(7, 5) }),
    overlay('index=off', `lowerdir=${fs(7)}:${fs(5)}`),
  );
});

const device = { snapshotId: 7, kind: 'device' } as const;
const mountpoint = '/var/lib/varve/snapshots/7/block/mountpoint';

test('one block layer, view: a read-only bind of where its device is mounted', () => {
  assert.deepEqual(mounts({ role: 'view', lowers: [device] }), bind(mountpoint, 'ro'));
});

test('a container that writes its device: a writable bind of where that is mounted, or the device', () => {
  const own = '/var/lib/varve/snapshots/9/block/mountpoint';
  const above = { lowers: [...layers(8), device] };
  assert.deepEqual(mounts({ ...above, mode: 'dir' }), bind(own, 'rw'));
  const [mount] = mounts({
    ...above,
    mode: 'dev',
    device: { path: '/dev/loop3', fileSystem: 'ext4', mountOptions: '' },
  });
  assert.equal(mount?.source, '/dev/loop3');
  assert.ok(mount.options.includes('rw'));
});

test('layers above a block layer lie above where its device is mounted', () => {
  const lowers = [...layers(8), device];
  const lowerdir = `lowerdir=${fs(8)}:${mountpoint}`;
  for (const role of ['imageLayer', 'containerLayer'] as const) {
    assert.deepEqual(mounts({ role, lowers }), overlay('index=off', ...upper, lowerdir));
  }
  assert.deepEqual(mounts({ role: 'view', lowers }), overlay('index=off', lowerdir));
});

test('an init layer above a block layer is its own directory, which holds no device', () => {
  for (const lowers of [[device], [...layers(8), device]]) {
    assert.deepEqual(mounts({ role: 'initLayer', lowers }), bind(fs(9), 'rw'));
  }
});

test('a kernel without the index parameter gets no index option', () => {
  const request = { lowers: layers(7, 5), indexOff: false };
  assert.deepEqual(mounts(request), overlay(...upper, `lowerdir=${fs(7)}:${fs(5)}`));
  assert.deepEqual(mounts({ ...request, role: 'view' }), overlay(`lowerdir=${fs(7)}:${fs(5)}`));
});

const label = { [parentChainIdLabel]: 'sha256:below' };
const folded = (...steps: readonly Step[]) => {
  const context = fold(...steps).snapshot(9)?.context;
  return mountsOf({ ...base, ...context });
};

test('a parallel unpack, which brings its parent at Commit, gets an overlay with upperdir only', () => {
  const unpack = prepared(9, { role: 'imageLayer', labels: label });
  assert.deepEqual(folded(unpack), overlay(`upperdir=${fs(9)}`));
});

test('what an unpack was prepared as stays when its labels are updated', () => {
  const unpack = prepared(9, { role: 'imageLayer', labels: label });
  assert.deepEqual(folded(unpack, labelsUpdated(9, {})), overlay(`upperdir=${fs(9)}`));
  const first = prepared(9, { role: 'imageLayer' });
  assert.deepEqual(folded(first, labelsUpdated(9, label)), bind(fs(9), 'rw'));
});

test('an unpack with a parent gets the ordinary overlay, whatever its labels say', () => {
  const unpack = prepared(9, { role: 'imageLayer', labels: label, parent: 'seven', parentId: 7 });
  const context = fold(unpack).snapshot(9)?.context;
  assert.deepEqual(
    mounts({ ...context, lowers: layers(7) }),
    overlay('index=off', ...upper, `lowerdir=${fs(7)}`),
  );
});

test('the label of a parallel unpack changes nothing for a view', () => {
  assert.deepEqual(folded(prepared(9, { role: 'view', labels: label })), bind(fs(9), 'ro'));
});
