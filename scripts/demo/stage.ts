// What the parts of the demo play on: varve and varve-bd, a containerd, and what they are asked.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../test/e2e/lab/command.ts';
import { startContainerd, type Containerd } from '../../test/e2e/lab/containerd.ts';
import { waitUntil } from '../../test/e2e/lab/service.ts';
import type { Scratch } from '../../test/e2e/lab/scratch.ts';
import {
  startSnapshotter,
  stopSnapshotter,
  type Snapshotter,
} from '../../test/e2e/lab/snapshotter.ts';
import { step, varve } from './steps.ts';

export interface Stage {
  readonly scratch: Scratch;
  readonly snapshotter: Snapshotter;
  readonly containerd: Containerd;
}

/** Who watches does not want to wait for the end of the usual ten seconds. */
const lingerMs = 500;

/** Starts all of it; it goes away with the scratch directory. */
export async function startStage(
  scratch: Scratch,
  programDirectories: readonly string[],
): Promise<Stage> {
  const directory = join(scratch.path, 'v');
  mkdirSync(directory);
  const configPath = join(directory, 'config.json');
  const blockDaemonAddress = join(directory, 'bd.sock');
  const settings = { blockDaemonAddress, autoRemoveDev: true, lingerMs };
  writeFileSync(configPath, JSON.stringify(settings));
  const snapshotter = await step(
    'varve',
    () => startSnapshotter({ command: varve, verb: 'up', directory, configPath }),
    ({ address }) => `varve-bd runs, varve serve answers on ${address}`,
  );
  scratch.defer(() => stopSnapshotter(snapshotter));
  const { address, root } = snapshotter;
  const containerd = await step(
    'containerd',
    () =>
      startContainerd({
        directory: join(scratch.path, 'c'),
        programDirectories,
        snapshotters: [{ name: 'varve', address, root, capabilities: ['rebase'] }],
      }),
    ({ version }) => `version ${version}, with varve as a proxy snapshotter`,
  );
  scratch.defer(() => containerd.stop());
  return { scratch, snapshotter, containerd };
}

/** `ctr run` of a container on varve. */
export function runContainer(
  { containerd }: Stage,
  options: readonly string[],
  ...argv: readonly string[]
): Promise<string> {
  const own = ['run', '--snapshotter', 'varve', ...containerd.runOptions];
  return containerd.ctr(...own, ...options, ...argv);
}

/**
 * The key under which varve knows a container's snapshot: containerd puts its own words before.
 */
export async function keyOf({ snapshotter }: Stage, container: string): Promise<string> {
  const printed = await runCommand([varve, '--address', snapshotter.address, 'ls', '--json']);
  const key = new RegExp(`"([^"]*/${container})"`).exec(printed)?.[1];
  if (key === undefined) throw new Error(`varve ls does not show ${container}:\n${printed}`);
  return key;
}

/** Removes an image, and waits until nothing that varve made for it is left. */
export async function removeImage({ snapshotter, containerd }: Stage, name: string): Promise<void> {
  await containerd.ctr('images', 'rm', '--sync', name);
  // Remove answers before the directories are gone.
  await waitUntil('everything is gone', async () => {
    const printed = await runCommand([varve, '--address', snapshotter.address, 'events', '--json']);
    const count = (type: string): number => printed.split(`"${type}"`).length - 1;
    const isDetached = count('DeviceDetached') === count('DeviceAttached');
    return isDetached && count('SnapshotRemoved') === count('SnapshotPrepared');
  });
}
