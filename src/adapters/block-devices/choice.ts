// Which transport a device is attached by.
import type { EffectResult } from '../../engine/ports.ts';
import { failed } from './failed.ts';

/** The order in which they are taken where none is named. */
export const transportOrder = ['ublk', 'tcmu', 'fuse'] as const;

/** The first that there is. */
export function chooseTransport(offered: readonly string[]): EffectResult<string> {
  const chosen = transportOrder.find((name) => offered.includes(name));
  if (chosen !== undefined) return { ok: true, value: chosen };
  const message =
    'there is no transport for block devices: varve doctor says what each of them lacks';
  return failed({ step: 'attach', code: 'ENOTSUP', message });
}
