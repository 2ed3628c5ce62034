// What varve-bd says about itself and about the devices of our snapshots: how much they have read.
import type { BackingStoreFigures, DeviceFigures, EffectResult } from '../../engine/ports.ts';
import { Daemon } from './daemon.ts';
import { deviceIdOf } from '../block-devices/places.ts';

interface Operation {
  readonly requestCount: number;
  readonly errorCount: number;
  readonly sizeBytes: number;
}

interface Stats {
  readonly daemon: {
    readonly process: number;
    /** Older ones do not tell it. */
    readonly version?: string;
    readonly transport: string;
    /** Older ones do not tell them. */
    readonly transports?: readonly string[];
    readonly lacking?: Readonly<Record<string, readonly string[]>>;
    /** Of the transport that it takes by itself; older ones do not tell it. */
    readonly devicesOutlive?: boolean;
    readonly outlivingTransports?: readonly string[];
  };
  readonly devices: readonly {
    readonly device: string;
    readonly damageCount: number;
    readonly operations: Readonly<Record<string, Operation>>;
  }[];
}

interface Listed {
  readonly device: string;
  readonly transport: string;
  readonly config: string;
  readonly directIo?: boolean;
}

const none: Operation = { requestCount: 0, errorCount: 0, sizeBytes: 0 };

/** Asks the varve-bd at `socketPath`; devices that are not of this root are left out. */
export async function backingStoreFigures(
  socketPath: string,
  snapshotsPath: string,
): Promise<EffectResult<BackingStoreFigures>> {
  const daemon = new Daemon(socketPath);
  const stats = await daemon.request<Stats>('stats', {});
  if (!stats.ok) return stats;
  const listed = await daemon.request<{ devices: readonly Listed[] }>('list', {});
  if (!listed.ok) return listed;
  const known = new Map(listed.value.devices.map((one) => [one.device, one]));
  const devices: DeviceFigures[] = [];
  for (const { device, damageCount, operations } of stats.value.devices) {
    const { config = '', directIo = null } = known.get(device) ?? {};
    // Whatever its name: those of the kernel's target are named after their place there.
    const deviceId = deviceIdOf(snapshotsPath, config);
    if (deviceId === undefined) continue;
    const { read = none, write = none } = operations;
    devices.push({
      deviceId,
      readCount: read.requestCount,
      readBytes: read.sizeBytes,
      writeCount: write.requestCount,
      writtenBytes: write.sizeBytes,
      errorCount: Object.values(operations).reduce((sum, { errorCount }) => sum + errorCount, 0),
      damageCount,
      directIo,
    });
  }
  const { process, version = null, transport, devicesOutlive = null } = stats.value.daemon;
  const { transports = null, lacking = {} } = stats.value.daemon;
  const told = { process, version, transport, transports, lacking };
  const { outlivingTransports = devicesOutlive === true ? [transport] : [] } = stats.value.daemon;
  // Those of the kernel's target stay in any case.
  const outliving = new Set(['tcmu', ...outlivingTransports]);
  const doAllOutlive = listed.value.devices.every((one) => outliving.has(one.transport));
  return {
    ok: true,
    value: { ...told, devicesOutlive: devicesOutlive && doAllOutlive, devices },
  };
}
