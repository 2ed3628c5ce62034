// varve serve beside a varve-bd that serves the kernel's target, and what the kernel has of their
// devices.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { waitUntil } from '../programs.ts';
import { BlockNode } from '../../cli/block-node.ts';
import { mountsBelow } from '../../e2e/lab/scratch.ts';
import { withAdminClient } from '../../../src/cli/admin-client.ts';
import { adminAddressBeside } from '../../../src/config/configuration.ts';
import type { DevicesDocument, DeviceDocument } from '../../../src/history/devices-document.ts';

export const targetRoot = '/sys/kernel/config/target';

/** A file of the kernel, without the end of its line. */
export const readAttribute = (path: string): string => readFileSync(path, 'utf8').trim();

export const namesIn = (path: string): readonly string[] =>
  existsSync(path) ? readdirSync(path) : [];

/** Every device that the kernel's target has, and every port, as paths below it. */
export function configured(): readonly string[] {
  const cores = namesIn(`${targetRoot}/core`)
    .filter((name) => name.startsWith('user_'))
    .flatMap((adapter) =>
      namesIn(`${targetRoot}/core/${adapter}`)
        .filter((name) => name.startsWith('dev_'))
        .map((name) => `core/${adapter}/${name}`),
    );
  const ports = namesIn(`${targetRoot}/loopback`)
    .filter((name) => name.startsWith('naa.'))
    .map((name) => `loopback/${name}`);
  return [...cores, ...ports].sort();
}

/** Where a link of the kernel's target leads. */
export const linkOf = (path: string): string => readlinkSync(path).replace(/^(\.\.\/)+/, '');

export function startTargetNode(settings: object = {}): Promise<BlockNode> {
  const own = { transport: 'tcmu', lingerMs: 0, ...settings };
  return BlockNode.start(own, undefined, { blockDaemonFlags: ['--tcmu'] });
}

/** What `varve devices` has of a device, without a process of its own, which is slow here. */
export async function deviceOf(node: BlockNode, id: number): Promise<DeviceDocument> {
  const { devices } = await withAdminClient(adminAddressBeside(node.daemon.address), (client) =>
    client.document<DevicesDocument>('devices'),
  );
  return devices.find((one) => one.id === id) ?? assert.fail(`there is no device #${id}`);
}

export const mountPointOf = (node: BlockNode, id: number): string =>
  join(node.root, 'snapshots', String(id), 'block', 'mountpoint');

/** Waits until no device of ours is left in the kernel, nor a mount; `but` stays. */
export async function nothingLeft(node: BlockNode, but: readonly string[] = []): Promise<void> {
  let left = '';
  const isGone = async (): Promise<boolean> => {
    const devices = configured().filter((name) => !but.includes(name));
    left = [...devices, ...mountsBelow(node.root)].join(', ');
    return left === '';
  };
  await waitUntil('nothing is left', isGone).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${left}`);
  });
}
