// What varve-bd has of devices at this moment.
import { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import type { BlockNode } from '../cli/block-node.ts';

export interface Device {
  readonly device: string;
  readonly state: string;
  readonly path: string | null;
  /** Not while it is being opened. */
  readonly openedAt?: string;
}

export async function devicesOf({ blockDaemon }: BlockNode): Promise<readonly Device[]> {
  const client = await BlockDaemonClient.connect(blockDaemon.address);
  try {
    const { devices } = await client.request<{ readonly devices: readonly Device[] }>('list');
    return devices;
  } finally {
    client.close();
  }
}
