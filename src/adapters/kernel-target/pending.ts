// Somebody is still in the kernel with a device: whoever writes to `enable` waits there for a
// daemon, holds the device, and would hold whoever touches it.
import type { EffectFailure } from '../../machines/kernel/envelope.ts';
import type { Standing } from './standing.ts';
import type { TargetDevice } from './target-device.ts';

/** Why the device is let be for now; undefined if it need not. */
export async function whyPending(
  { ask, names }: TargetDevice,
  { config, isEnabled }: Standing,
): Promise<EffectFailure | undefined> {
  if (config === null || isEnabled) return undefined;
  const path = `${names.corePath}/enable`;
  const asked = await ask({ operation: 'file-users', path });
  if (!asked.ok) return asked;
  const { users } = asked.value;
  if (users.length === 0) return undefined;
  const message =
    `${users.join(' and ')} still enables it, and waits for the daemon that serves the kernel's ` +
    'target: start that again';
  return { step: 'enable', code: 'EBUSY', message, path };
}
