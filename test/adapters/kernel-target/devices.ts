// Devices over a kernel in memory, which can be made to fail where a real one seldom does.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { TransportDevices } from '../../../src/adapters/block-devices/devices.ts';
import type { HelperPool } from '../../../src/adapters/helper-pool/pool.ts';
import { KernelTarget } from '../../../src/adapters/kernel-target/transport.ts';
import type { CrashPoint } from '../../../src/engine/ports.ts';
import type { DevicePlan } from '../../../src/machines/device/events.ts';
import { noTransport } from '../no-transport.ts';
import { FakeKernel } from './kernel.ts';

export const deviceId = 7;
export const core = 'user_999999999/dev_7';
export const port = 'naa.1990000000000007';

export const readOnly: DevicePlan = {
  ...{ access: 'readOnly', writableLayer: null, mount: 'readOnly', fileSystem: 'ext4' },
  ...{ mountOptions: '', formatArguments: null },
};

export interface FakeNode {
  readonly kernel: FakeKernel;
  readonly snapshotsPath: string;
  readonly config: string;
  /** How often it waited. */
  waits: number[];
  servedBy: string | undefined;
  /** What a daemon writes into the result file when it opens the image. */
  says(text: string): void;
  /** As a new process has them; the process ends where the crash point throws. */
  devices(crashPoint?: CrashPoint, tenant?: number): KernelTarget;
  /** The same as a server has them, beside a varve-bd without devices. */
  served(crashPoint?: CrashPoint): TransportDevices;
}

/** A folder for the snapshots of as many nodes as a test wants, one after the other. */
export function snapshotsOf(t: TestContext): string {
  const scratch = mkdtempSync(join(tmpdir(), 'varve-target-'));
  t.after(() => rmSync(scratch, { recursive: true, force: true }));
  mkdirSync(join(scratch, `${deviceId}`, 'block'), { recursive: true });
  return scratch;
}

export function fakeNode(scratch: string): FakeNode {
  const block = join(scratch, `${deviceId}`, 'block');
  const kernel = new FakeKernel();
  const node: FakeNode = {
    ...{ kernel, snapshotsPath: scratch, waits: [], servedBy: 'a daemon' },
    config: `overlaybd/${block}/config.v1.json`,
    says: (text) => writeFileSync(join(block, 'init-debug.log'), text),
    devices: (crashPoint = () => undefined, tenant = -1) =>
      new KernelTarget({
        ...{ tenant, snapshotsPath: scratch, pool: kernel.pool, crashPoint },
        servedBy: async () => node.servedBy,
        deadlineMs: 1_000,
        sleep: async (milliseconds) => void node.waits.push(milliseconds),
      }),
    served: (crashPoint) =>
      new TransportDevices({
        ...{ daemon: noTransport, target: node.devices(crashPoint), transport: 'tcmu' },
        ...{ snapshotsPath: scratch, pool: kernel.pool as HelperPool, deadlineMs: 1_000 },
        makeWritableLayer: async () => ({ ok: true, value: undefined }),
        logger: { warn: () => undefined },
      }),
  };
  return node;
}
