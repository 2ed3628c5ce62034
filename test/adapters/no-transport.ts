// A transport that is not there, and has no devices.
import type { DeviceTransport } from '../../src/adapters/block-devices/transport.ts';

export const noTransport: DeviceTransport = {
  offers: async () => ({ ok: true, value: [] }),
  find: async () => ({ ok: true, value: undefined }),
  attach: async () => ({
    ok: false,
    failure: { step: 'attach', code: 'ENOTSUP', message: 'it is not there' },
  }),
  detach: async () => ({ ok: true, value: undefined }),
  sightings: async () => ({ ok: true, value: [] }),
};
