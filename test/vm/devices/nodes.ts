// The nodes of the three transports.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { close, list, loopsOf, startHolder, type Daemon } from '../../native/block-daemon.ts';
import * as disks from '../tcmu/disks.ts';
import type { Transport } from '../transports.ts';
import { DeviceNode, startNode } from './node.ts';

const namesIn = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory, { encoding: 'utf8' }).toSorted();
  } catch {
    return [];
  }
};

/** Devices that varve-bd opens for whoever asks it. */
abstract class OpenedDevices extends DeviceNode {
  protected abstract readonly transport: Transport;

  async attach(name: string, config: string): Promise<string> {
    const { transport } = this;
    const request = { config, device: name, transport };
    return (await this.bd.request<{ path: string }>('open', request)).path;
  }

  async detach(name: string): Promise<void> {
    assert.deepEqual(await close(this.bd, name), { device: name, gone: true, users: [] });
  }

  deviceOf(name: string): string {
    return name;
  }

  protected async endAll(): Promise<void> {
    for (const { device } of await list(this.bd)) await close(this.bd, device, 'abort');
  }
}

/** The ublk devices that the kernel has, whoever serves them. */
export const kernelDevices = (): readonly string[] => namesIn('/sys/class/ublk-char');

export class UblkNode extends OpenedDevices {
  protected readonly transport = 'ublk';

  /** Where the daemon keeps its notes on devices. */
  get noteDirectory(): string {
    return join(this.directory, 'run/ublk');
  }

  get notes(): readonly string[] {
    return namesIn(this.noteDirectory);
  }

  async left(): Promise<readonly string[]> {
    return [...kernelDevices(), ...this.notes];
  }

  protected async flags(): Promise<readonly string[]> {
    return [];
  }
}

/** varve-bd with a holder, over FUSE and loop devices. */
export class FuseNode extends OpenedDevices {
  protected readonly transport = 'fuse';
  #holder: Daemon | undefined;

  async left(): Promise<readonly string[]> {
    return loopsOf('');
  }

  protected async flags(): Promise<readonly string[]> {
    this.#holder ??= await startHolder(this.t, join(this.directory, 'holder.sock'));
    return ['--holder', this.#holder.socket];
  }
}

/** varve-bd for disks of the kernel's target, which are configured by whoever wants them. */
export class TargetNode extends DeviceNode {
  async attach(name: string, config: string): Promise<string> {
    return (await disks.attach(name, config)).path;
  }

  detach(name: string): Promise<void> {
    return disks.detach(name);
  }

  deviceOf(name: string): string {
    return disks.deviceName(name);
  }

  async left(): Promise<readonly string[]> {
    return disks.presentIds();
  }

  protected async flags(): Promise<readonly string[]> {
    return ['--tcmu'];
  }

  protected async endAll(): Promise<void> {
    for (const id of disks.presentIds()) await disks.detach(id);
  }
}

const nodes = { fuse: FuseNode, tcmu: TargetNode, ublk: UblkNode };

export const startOver = (transport: Transport, t: TestContext): Promise<DeviceNode> =>
  startNode<DeviceNode>(t, nodes[transport]);
