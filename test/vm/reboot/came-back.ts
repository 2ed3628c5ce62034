// What the history must tell of a device after a reboot.
import assert from 'node:assert/strict';
import type { RecordedEvent } from '../../e2e/lab/varve-node.ts';

/** It was lost with the machine, and its newest attach is a later one. */
export function assertCameBack(events: readonly RecordedEvent[], deviceId: number): void {
  const ofDevice = events.filter(({ stream }) => stream === `device-${deviceId}`);
  const lost = ofDevice.findLastIndex(({ type }) => type === 'DeviceLost');
  assert.equal(ofDevice[lost]?.data.reason, 'the machine was started anew');
  const attached = ofDevice.findLastIndex(({ type }) => type === 'DeviceAttached');
  assert.ok(attached > lost, `device #${deviceId} was attached again`);
}
