// What a snapshot is for, from the marks that real clients leave.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parentChainIdLabel, roleOf, snapshotRefLabel } from '../../src/machines/snapshot/role.ts';

const hex = '5e0ca3b526d958e0c82ea7372e42fd30d7c21eee9b427cc87f2a237f8eb25cf4';
const docker = (key: string, kind: 'active' | 'view' = 'active') =>
  roleOf({ kind, key, labels: {}, runtimeType: 'docker' });
const containerd = (key: string, labels = {}, kind: 'active' | 'view' = 'active') =>
  roleOf({ kind, key, labels, runtimeType: 'containerd' });

test('a Docker init layer is 64 hex digits with -init or -init-key as the last part', () => {
  assert.equal(docker(`moby/4/${hex}-init-key`), 'initLayer');
  assert.equal(docker(`moby/5/${hex}-init`), 'initLayer');
  assert.equal(docker(`${hex}-init`), 'initLayer');
});

test('nothing that only resembles an init key is an init layer', () => {
  const others = [
    `moby/6/${hex}`,
    `moby/6/${hex}-init-parent-view-777133103-AQi_`,
    `moby/6/${hex}-init-key2`,
    `moby/6/${hex}-init-`,
    `moby/6/x${hex}-init`,
    `moby/6/${hex.slice(1)}-init`,
    `moby/6/${hex.toUpperCase()}-init`,
    `moby/6/${hex}-init/x`,
    `moby/6/${hex}-init\n`,
    'moby/6/web-init-db',
    'web-init',
  ];
  for (const key of others) assert.equal(docker(key), 'containerLayer', key);
});

test('Docker’s parent views are views', () => {
  assert.equal(docker(`moby/10/${hex}-init-parent-view-1-x`, 'view'), 'view');
  assert.equal(docker(`moby/10/${hex}-parent-view-1`, 'view'), 'view');
});

test('a View of an init key is a view', () => {
  assert.equal(docker(`moby/4/${hex}-init`, 'view'), 'view');
  assert.equal(docker(`moby/4/${hex}-init-key`, 'view'), 'view');
});

test('without runtimeType docker there are no init layers', () => {
  assert.equal(containerd(`moby/4/${hex}-init-key`), 'containerLayer');
  assert.equal(containerd(`moby/4/${hex}-init`), 'containerLayer');
});

test('the Prepare of an unpack is an image layer, by its key or by its label', () => {
  const unpackKey = `default/12/extract-868448762-0-Md sha256:${hex}`;
  assert.equal(containerd(unpackKey), 'imageLayer');
  assert.equal(docker(`moby/22/extract-868448762--0Md-sha256:${hex}`), 'imageLayer');
  assert.equal(containerd('any', { [snapshotRefLabel]: `sha256:${hex}` }), 'imageLayer');
  assert.equal(containerd('any', { [parentChainIdLabel]: `sha256:${hex}` }), 'imageLayer');
});

test('a View with the marks of an unpack is a view', () => {
  const labels = { [snapshotRefLabel]: `sha256:${hex}` };
  assert.equal(containerd(`extract sha256:${hex}`, labels, 'view'), 'view');
});

test('anything else that is prepared is a container layer', () => {
  for (const key of [
    'default/3/web',
    `x sha256:${hex}0`,
    `sha256:${hex.slice(2)}`,
    `k8s.io/9/${hex}`,
  ]) {
    assert.equal(containerd(key), 'containerLayer', key);
  }
});
