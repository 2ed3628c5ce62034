// Docker's init layers above block layers, and what Docker makes on them: who leases which device.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Projection } from '../../src/machines/projection.ts';
import { decidePrepare, type PrepareCommand } from '../../src/machines/snapshot/decide.ts';
import {
  commitEnded,
  commitStarted,
  committed,
  committedBlock,
  fold,
  policy,
  recordNext,
  type Step,
} from './given.ts';

const hex = '5e0ca3b526d958e0c82ea7372e42fd30d7c21eee9b427cc87f2a237f8eb25cf4';
const docker = {
  kind: 'active',
  labels: {},
  policy: { ...policy, runtimeType: 'docker' },
} as const;
/** An image: a block layer, and an ordinary one on it. */
const image = [
  committedBlock(1, 'block'),
  committed(2, 'top', { parent: 'block', parentId: 1 }),
] as const;

function prepareOn(projection: Projection, command: PrepareCommand): Step {
  const decided = decidePrepare(command, projection.catalog);
  assert.ok(decided.ok, JSON.stringify(decided));
  const step = { snapshotId: command.snapshotId, event: decided.value };
  projection.apply(recordNext(projection, step));
  return step;
}

/** The image with a committed init layer, #3. */
function withInitLayer(runtimeType: 'docker' | 'containerd'): Projection {
  const projection = fold(...image);
  const key = `moby/4/${hex}-init-key`;
  prepareOn(projection, {
    ...docker,
    policy: { ...policy, runtimeType },
    snapshotId: 3,
    key,
    parent: 'top',
  });
  const parent = { parent: 'top', parentId: 2 };
  for (const step of [commitStarted(3, `moby/5/${hex}-init`, parent), commitEnded(3, 2)]) {
    projection.apply(recordNext(projection, step));
  }
  return projection;
}

const contextOf = (projection: Projection, snapshotId: number) => {
  const state = projection.snapshot(snapshotId);
  assert.ok(state);
  return { ...state.context, lowers: projection.catalog.lowersOf(state) };
};

test('an init layer leases the device below it, also once it is committed', () => {
  const { role, deviceId, key } = contextOf(withInitLayer('docker'), 3);
  assert.deepEqual([role, deviceId, key], ['initLayer', 1, `moby/5/${hex}-init`]);
});

test('any other layer gives its lease back when it is committed', () => {
  const { role, deviceId } = contextOf(withInitLayer('containerd'), 3);
  assert.deepEqual([role, deviceId], ['containerLayer', null]);
});

for (const runtimeType of ['docker', 'containerd'] as const) {
  test(`with runtimeType ${runtimeType} a container lies on its init layer and the device`, () => {
    // What lies below was made with the other one.
    const other = runtimeType === 'docker' ? 'containerd' : 'docker';
    const projection = withInitLayer(other);
    const parent = `moby/5/${hex}-init`;
    prepareOn(projection, {
      ...docker,
      policy: { ...policy, runtimeType },
      snapshotId: 4,
      key: `moby/6/${hex}`,
      parent,
    });
    const { role, deviceId, lowers } = contextOf(projection, 4);
    assert.deepEqual([role, deviceId], ['containerLayer', 1]);
    assert.deepEqual(lowers, [
      { snapshotId: 3, kind: 'directory' },
      { snapshotId: 2, kind: 'directory' },
      { snapshotId: 1, kind: 'device' },
    ]);
  });
}

test('`docker commit` looks through a view of the init layer, and unpacks on it', () => {
  const projection = withInitLayer('docker');
  const parent = `moby/5/${hex}-init`;
  const view = `moby/10/${hex}-init-parent-view-777133103-AQi_`;
  prepareOn(projection, { ...docker, kind: 'view', snapshotId: 4, key: view, parent });
  const unpack = `moby/11/extract-868448762--0Md-sha256:${hex}`;
  prepareOn(projection, { ...docker, snapshotId: 5, key: unpack, parent });
  // Whoever reads leases; an unpack reads nothing of what lies below.
  const [seen, unpacked] = [contextOf(projection, 4), contextOf(projection, 5)];
  assert.deepEqual([seen.role, seen.deviceId], ['view', 1]);
  assert.deepEqual([unpacked.role, unpacked.deviceId], ['imageLayer', null]);
});

test('an init layer that holds a layer’s file and nothing else is no block layer', () => {
  const projection = fold(committedBlock(1, 'block'));
  const key = `moby/4/${hex}-init-key`;
  prepareOn(projection, { ...docker, snapshotId: 3, key, parent: 'block' });
  const started = commitStarted(3, 'init', { parent: 'block', parentId: 1 });
  projection.apply(recordNext(projection, started));
  const state = projection.snapshot(3);
  assert.ok(state);
  assert.equal(projection.catalog.mayBecomeBlock(state), false);
});
