// A node whose parts are made to fail, and what it says of that: the status, the recorded history,
// and that nothing is left in the end.
import assert from 'node:assert/strict';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import { mountsBelow } from '../e2e/lab/scratch.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { type BlockNode, top } from '../cli/block-node.ts';
import { devicesOf } from './devices.ts';

export const writes = { 'containerd.io/snapshot/overlaybd.writable': 'dir' };

/** How a call that must fail has failed. */
export interface Refused {
  readonly code: number;
  readonly details: string;
}

export function assertRefused({ code, details }: Refused, name: string, says: RegExp): void {
  assert.equal(status[code], name, details);
  assert.match(details, says);
}

interface Told {
  readonly stream: string;
  readonly type: string;
  readonly data: { readonly failure?: { readonly code: string; readonly message: string } };
}

/** The failures that the history of a stream tells of, oldest first. */
export async function failuresOf(node: BlockNode, stream: string): Promise<readonly string[]> {
  const { code, stdout, stderr } = await node.ask('events', '--stream', stream, '--json');
  assert.equal(code, 0, stderr);
  const events = stdout.split('\n').filter(Boolean);
  return events
    .map((line) => JSON.parse(line) as Told)
    .flatMap(({ type, data: { failure } }) =>
      failure === undefined ? [] : [`${type}: ${failure.code} ${failure.message}`],
    );
}

/** `varve why` says it. */
export async function assertWhy(node: BlockNode, key: string, says: RegExp): Promise<void> {
  const { code, stdout, stderr } = await node.ask('why', key);
  assert.equal(code, 0, stderr);
  assert.match(stdout, says);
}

/** Where the mounts of a snapshot show its files, of one whose mounts are a bind. */
export async function placeOf(node: BlockNode, key: string): Promise<string> {
  const reply = await node.daemon.snapshots.call(snapshots.mounts, { key });
  assert.equal(reply.code, status.OK, reply.details);
  return reply.value?.mounts?.[0]?.source ?? '';
}

/** The mountpoint of the device of a snapshot. */
export const mountPointOf = (node: BlockNode, snapshotId: number): string =>
  path.join(node.root, 'snapshots', `${snapshotId}`, 'block', 'mountpoint');

/** Nothing is attached or mounted any more, or comes to be. */
export async function assertNothingAttached(node: BlockNode): Promise<void> {
  const isGone = async (): Promise<boolean> =>
    (await devicesOf(node)).length === 0 &&
    mountsBelow(path.join(node.root, 'snapshots')).length === 0;
  await waitUntil('no device and no mount is left', isGone);
}

/** A container can be made, and goes again without a trace. */
export async function assertWorks(
  node: BlockNode,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  const key = 'default/9/works';
  await node.prepare(key, top, labels);
  await assertRemoved(node, key);
  await assertNothingAttached(node);
}

export async function assertRemoved(node: BlockNode, key: string): Promise<void> {
  const { code, details } = await node.remove(key);
  assert.equal(code, status.OK, details);
}
