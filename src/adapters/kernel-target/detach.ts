// Takes a device away: step by step as overlaybd's own snapshotter does it, but never while
// somebody uses the disk.
import type { EffectResult } from '../../engine/ports.ts';
import { done, failed } from '../block-devices/failed.ts';
import { ifThere, failedOrder, type Order, type TargetStep } from './orders.ts';
import { findPlace } from './disk.ts';
import { whyPending } from './pending.ts';
import { foreignPart, isAbsent, isLinked, look } from './standing.ts';
import type { TargetDevice } from './target-device.ts';

/** Takes it away; what bears its names and is not ours is no business of this. */
export async function detach(device: TargetDevice): Promise<EffectResult<void>> {
  const looked = await look(device.ask, device.names);
  if (!looked.ok) return failedOrder(looked);
  const standing = looked.value;
  if (isAbsent(standing)) return done;
  if (foreignPart(standing, device.names, device.config) !== undefined) return done;
  const pending = await whyPending(device, standing);
  if (pending !== undefined) return failed(pending);
  if (isLinked(standing) && (await device.servedBy()) === undefined) {
    const message =
      "nobody serves the kernel's target, and taking a disk away waits for that: start varve-bd " +
      'with --tcmu, or overlaybd-tcmu';
    return failed({ step: 'detach', code: 'ECONNREFUSED', message });
  }
  return takeDown(device);
}

/** Takes down whatever there is of it, unless somebody uses its disk. */
async function takeDown(device: TargetDevice): Promise<EffectResult<void>> {
  const used = await whoUses(device);
  if (!used.ok) return used;
  const { linkPath, unitPath, groupPath, portPath, corePath } = device.names;
  const orders: readonly (readonly [TargetStep, Order])[] = [
    ['unlink', { operation: 'remove-link', path: linkPath }],
    ['removeUnit', { operation: 'remove-directory', path: unitPath }],
    ['removeGroup', { operation: 'remove-directory', path: groupPath }],
    ['removePort', { operation: 'remove-directory', path: portPath }],
    ['removeCore', { operation: 'remove-directory', path: corePath }],
  ];
  for (const [step, order] of orders) {
    const taken = await device.steps.take(step, order);
    if (!taken.ok) return failedOrder(taken);
  }
  return done;
}

/** Whoever has it open for a moment only, as udev does with every new device, is no user. */
const momentMs = 100;

/** Fails with EBUSY if anybody uses the disk. */
async function whoUses({ ask, names, sleep }: TargetDevice): Promise<EffectResult<void>> {
  const found = await findPlace(ask, names);
  if (!found.ok) return failedOrder(found);
  const { folder, name } = found.value ?? {};
  if (folder === undefined || name === undefined) return done;
  const path = `${folder}/block/${name}/dev`;
  const told = ifThere(await ask({ operation: 'read-attribute', path }));
  if (!told.ok) return failedOrder(told);
  const [major, minor] = (told.value?.text ?? '').trim().split(':').map(Number);
  if (major === undefined || minor === undefined) return done;
  let users: readonly string[] = [];
  for (const isLast of [false, true]) {
    const asked = await ask({ operation: 'device-users', major, minor });
    if (!asked.ok) return failedOrder(asked);
    ({ users } = asked.value);
    if (users.length === 0) return done;
    if (!isLast) await sleep(momentMs);
  }
  const message = `/dev/${name} is in use: ${users.join('; ')}`;
  return failed({ step: 'detach', code: 'EBUSY', message, path: `/dev/${name}` });
}
