// Which snapshots are written through a device of their own, and what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decideCommit,
  decidePrepare,
  type PrepareCommand,
} from '../../src/machines/snapshot/decide.ts';
import {
  blockContent,
  policy,
  fold,
  prepared,
  commitStarted,
  commitEnded,
  given,
} from './given.ts';

const writable = 'containerd.io/snapshot/overlaybd.writable';
const size = 'containerd.io/snapshot/overlaybd/vsize';
const fileSystem = 'containerd.io/snapshot/overlaybd/blob-fs-type';

const block = (id: number, name: string, fs = 'ext4') => [
  prepared(id, { role: 'imageLayer' }),
  commitStarted(id, name),
  commitEnded(id, 2, blockContent(fs)),
];

const command = (changes: Partial<PrepareCommand>): PrepareCommand => ({
  kind: 'active',
  snapshotId: 9,
  key: 'a',
  parent: '',
  labels: {},
  policy,
  ...changes,
});

function preparedOn(changes: Partial<PrepareCommand>, fs = 'ext4') {
  const { catalog } = fold(block(1, 'image', fs));
  const decided = decidePrepare(command(changes), catalog);
  assert.ok(decided.ok, decided.ok ? '' : decided.rejection.message);
  return decided.value.data;
}

test('on an image: its file system, its size, and options that go with writing', () => {
  const data = preparedOn({ parent: 'image', labels: { [writable]: 'dir', [size]: '9' } }, 'xfs');
  assert.deepEqual(data.writable, {
    layerType: 'append',
    sizeGib: null,
    fileSystem: 'xfs',
    mountOptions: 'nouuid,discard',
    formatArguments: null,
  });
  assert.deepEqual([data.backing, data.deviceId, data.mode], ['writableBlock', 9, 'dir']);
});

test('neither the configuration nor a label changes what an image holds', () => {
  const labels = { [writable]: 'dir', [fileSystem]: 'xfs' };
  const xfs = { ...policy, defaultFsType: 'xfs' };
  const data = preparedOn({ parent: 'image', labels, policy: xfs });
  assert.equal(data.writable?.fileSystem, 'ext4');
});

test('on nothing: what the label says, else the configuration; 64 GiB unless it is said', () => {
  const xfs = { ...policy, defaultFsType: 'xfs', writableLayerType: 'sparse' } as const;
  const byDefault = preparedOn({ labels: { [writable]: 'dev' }, policy: xfs });
  assert.equal(byDefault.writable?.fileSystem, 'xfs');
  assert.equal(byDefault.writable.sizeGib, 64);
  assert.equal(byDefault.writable.layerType, 'sparse');
  const labels = { [writable]: 'dev', [fileSystem]: 'ext4;noatime', [size]: '16384' };
  const byLabel = preparedOn({ labels, policy: xfs });
  assert.equal(byLabel.writable?.fileSystem, 'ext4');
  assert.equal(byLabel.writable.mountOptions, 'noatime');
  assert.equal(byLabel.writable.sizeGib, 16_384);
});

test('a size that is none is refused', () => {
  for (const bad of ['0', '-1', '1.5', '64G', '16385', '99999999999']) {
    given()
      .when((facts) =>
        decidePrepare(command({ labels: { [writable]: 'dir', [size]: bad } }), facts),
      )
      .refused('invalid_argument', size, JSON.stringify(bad));
  }
});

test('an erofs cannot be written: refused where it was asked for, else files are written', () => {
  given(block(1, 'image', 'erofs'))
    .when((facts) =>
      decidePrepare(command({ parent: 'image', labels: { [writable]: 'dir' } }), facts),
    )
    .refused('failed_precondition', writable, 'erofs');
  const data = preparedOn({ parent: 'image', policy: { ...policy, rwMode: 'dir' } }, 'erofs');
  assert.deepEqual([data.mode, data.writable, data.deviceId], ['overlayfs', null, 1]);
});

test('any other value of the label means files', () => {
  for (const value of ['overlayfs', 'DIR', 'yes']) {
    const labels = { [writable]: value };
    const data = preparedOn({ parent: 'image', labels, policy: { ...policy, rwMode: 'dir' } });
    assert.equal(data.writable, null);
  }
});

test('the label that says where a layer lies is told, never stored', () => {
  const layerFile = 'containerd.io/snapshot/overlaybd.localcommitpath';
  assert.deepEqual(preparedOn({ labels: { [layerFile]: '/x', a: '1' } }).labels, { a: '1' });
});

test('unpacks are known by each of their marks, and write files', () => {
  const dir = { ...policy, rwMode: 'dir' } as const;
  const marks = ['.ref', '/parent-chain-id'].map((mark) => ({
    labels: { [`containerd.io/snapshot${mark}`]: 'sha256:x' },
  }));
  const type = { labels: { 'containerd.io/snapshot/type': 'image' } };
  const key = { key: `extract-1 sha256:${'a'.repeat(64)}` };
  for (const mark of [...marks, type, key]) {
    assert.equal(preparedOn({ ...mark, policy: dir }).writable, null, JSON.stringify(mark));
  }
});

test('what is to come is refused at Commit, too, with the label’s name', () => {
  for (const name of ['overlaybd/turbo-oci/target-digest', 'overlaybd/record-trace-path']) {
    const label = `containerd.io/snapshot/${name}`;
    const labels = { [label]: 'x' };
    given(prepared(1))
      .when((facts) =>
        decideCommit('key-1', { name: 'n', labels, parent: '' }, facts.get(1), facts),
      )
      .refused('failed_precondition', label);
  }
  const accelerated = 'containerd.io/snapshot/overlaybd/acceleration-layer';
  given()
    .when((facts) => decidePrepare(command({ labels: { [accelerated]: 'yes' } }), facts))
    .refused('failed_precondition', accelerated);
  assert.ok(preparedOn({ labels: { [accelerated]: 'no' } }));
});

test('mount options of an image are refused by name before its layer is fetched', () => {
  const labels = { [fileSystem]: 'ext4;noload,errors=panic' };
  const key = `extract-1 sha256:${'1'.repeat(64)}`;
  given()
    .when((facts) => decidePrepare(command({ key, labels }), facts))
    .refused('invalid_argument', fileSystem, 'errors=panic');
  // For what containers write an image's label says nothing.
  assert.equal(preparedOn({ parent: 'image', labels }).writable, null);
});

test('and before a layer is sealed, by the file system that is on it', () => {
  const layer = { layerType: 'append', sizeGib: null, fileSystem: 'xfs' } as const;
  const box = given(
    prepared(1, { writable: { ...layer, mountOptions: 'nouuid', formatArguments: null } }),
  );
  const labels = (text: string) => ({ [fileSystem]: text });
  const commit = (text: string) =>
    box.when((facts) =>
      decideCommit(
        'key-1',
        { name: 'layer', labels: labels(text), parent: '' },
        facts.get(1),
        facts,
      ),
    );
  commit('ext4;noload').refused('invalid_argument', 'noload is not allowed with xfs');
  const data = { name: 'layer', labels: labels('xfs;norecovery'), parent: '', parentId: null };
  commit('xfs;norecovery').event(1, { type: 'SnapshotCommitStarted', data });
});
