// Mounts of devices, read from what the kernel tells, however long and however written.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMounts } from '../../src/adapters/block-devices/mounted-devices.ts';

test('R-26: a long line hides no mount behind it, and octal escapes are read', () => {
  const long = `30 1 0:40 / /m rw - overlay overlay rw,lowerdir=${'/layer:'.repeat(20_000)}`;
  const ours = '31 1 7:3 / /a\\040root/snapshots/12/block/mountpoint ro - ext4 /dev/loop3 ro';
  assert.deepEqual(parseMounts(`${long}\n${ours}\n`, '/a root/snapshots'), [
    { snapshotId: 12, mountPoint: '/a root/snapshots/12/block/mountpoint', device: '7:3' },
  ]);
});
