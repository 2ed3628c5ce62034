// What the history must tell of a device after a reboot.
import assert from 'node:assert/strict';
import type { RecordedEvent } from '../../e2e/lab/varve-node.ts';

/** It was lost with the machine, and its newest attach is a later one. */
export function assertCameBack(events: readonly RecordedEvent[], deviceId: number): void {
  const ofDevice = events.filter(({ stream }) => stream === `device-${deviceId}`);
  const lost = ofDevice.findLastIndex(({ type }) => type === 'DeviceLost');
  // That of a Commit in flight is missed when it is to be unmounted.
  assert.match(
    ofDevice[lost]?.data.reason ?? '',
    /^the machine was started anew$|^it was gone before it was unmounted$/,
  );
  const attached = ofDevice.findLastIndex(({ type }) => type === 'DeviceAttached');
  assert.ok(attached > lost, `device #${deviceId} was attached again`);
}
