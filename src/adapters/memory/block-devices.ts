// Block devices that are only remembered: what the port promises, without a kernel.
import type { BlockDevices, BlockLayers, EffectResult } from '../../engine/ports.ts';

interface Remembered {
  readonly path: string;
  readonly isMounted: boolean;
}

const done: EffectResult<void> = { ok: true, value: undefined };

export function memoryBlockDevices(): BlockDevices {
  const devices = new Map<number, Remembered>();
  return {
    attach(deviceId) {
      const device = devices.get(deviceId) ?? { path: `/dev/memory${deviceId}`, isMounted: false };
      devices.set(deviceId, device);
      const { path } = device;
      const value = { path, sizeBytes: 1 << 20, transport: 'memory' };
      return Promise.resolve({ ok: true, value });
    },
    format: () => Promise.resolve(done),
    mount(deviceId, path) {
      devices.set(deviceId, { path, isMounted: true });
      return Promise.resolve(done);
    },
    unmount(deviceId) {
      const device = devices.get(deviceId);
      if (device !== undefined) devices.set(deviceId, { ...device, isMounted: false });
      return Promise.resolve(done);
    },
    async unmountWritten(deviceId) {
      const value = devices.has(deviceId) ? 'written' : 'gone';
      await this.unmount(deviceId);
      return { ok: true, value };
    },
    detach(deviceId) {
      devices.delete(deviceId);
      return Promise.resolve(done);
    },
    observe() {
      const value = [...devices].map(([deviceId, device]) => ({ deviceId, ...device }));
      return Promise.resolve({ ok: true, value });
    },
  };
}

/** Layers of which none is a block layer. */
export const plainLayers: BlockLayers = {
  examine: () => Promise.resolve({ ok: true, value: null }),
  finish: () => Promise.resolve(done),
  canReadRemote: false,
  describe: () => Promise.resolve({ ok: true, value: { fileSystem: 'ext4', layerFile: null } }),
};
