// How much a container may write into its directory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decidePrepare, type PrepareCommand } from '../../src/machines/snapshot/decide.ts';
import { quotaLabel, sizeBytesOf } from '../../src/machines/snapshot/quota.ts';
import { fold, given, policy } from './given.ts';

const command = (
  labels: Record<string, string>,
  rootfsQuota = '',
  key = 'box',
): PrepareCommand => ({
  ...{ snapshotId: 9, key, parent: '', labels },
  policy: { ...policy, rootfsQuota },
  kind: 'active',
});

function quotaOf(labels: Record<string, string>, rootfsQuota = '', key = 'box'): number | null {
  const decided = decidePrepare(command(labels, rootfsQuota, key), fold().catalog);
  assert.ok(decided.ok, decided.ok ? '' : decided.rejection.message);
  return decided.value.data.quotaBytes;
}

test('sizes are counted in steps of 1024', () => {
  const sizes = {
    '20g': 20 * 2 ** 30,
    '512MiB': 2 ** 29,
    '1kb': 1024,
    '4096': 4096,
    ' 1T ': 2 ** 40,
  };
  for (const [text, sizeBytes] of Object.entries(sizes)) assert.equal(sizeBytesOf(text), sizeBytes);
  for (const text of ['', '0', '-1', '1.5g', 'g', '10p', '20 g', '99999999999999t']) {
    assert.equal(sizeBytesOf(text), undefined, text);
  }
});

test('the label counts more than the configuration; unpacks have no limit', () => {
  assert.equal(quotaOf({}), null);
  assert.equal(quotaOf({}, '1g'), 2 ** 30);
  assert.equal(quotaOf({ [quotaLabel]: '2g' }, '1g'), 2 ** 31);
  assert.equal(quotaOf({ 'containerd.io/snapshot.ref': 'x' }, '1g'), null);
});

test('what is no size is refused, and so is a limit for a device of its own', () => {
  given()
    .when((facts) => decidePrepare(command({ [quotaLabel]: 'much' }), facts))
    .refused('invalid_argument', quotaLabel, '"much"');
  const dir = { 'containerd.io/snapshot/overlaybd.writable': 'dir' };
  given()
    .when((facts) => decidePrepare(command({ ...dir, [quotaLabel]: '1g' }), facts))
    .refused('failed_precondition', quotaLabel, 'size');
  assert.equal(quotaOf(dir, '1g'), null, 'the device has a size');
});
