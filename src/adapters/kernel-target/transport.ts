// Devices over the kernel's SCSI target (TCMU), configured as overlaybd's own snapshotter does it,
// so that varve-bd or overlaybd's daemon serves them. A device is ours if its configuration lies
// below our directory.
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttachedDevice, CrashPoint, EffectResult } from '../../engine/ports.ts';
import { done } from '../block-devices/failed.ts';
import { imageConfigOf, resultFileOf } from '../block-devices/places.ts';
import {
  seenTogether,
  type DeviceTransport,
  type SightedDevice,
} from '../block-devices/transport.ts';
import type { HelperPool } from '../helper-pool/pool.ts';
import { attach, finish } from './attach.ts';
import { detach } from './detach.ts';
import { awaitDisk, findPlace } from './disk.ts';
import {
  adapterOf,
  checkConfigurable,
  deviceConfig,
  idOfDevice,
  targetNames,
  targetPath,
  tenantOf,
  whyNoneConfigurable,
} from './names.ts';
import { askHelpers, failedOrder, ifThere, Steps } from './orders.ts';
import { resultFile } from './result-file.ts';
import { foreignPart, isComplete, look } from './standing.ts';
import type { TargetDevice } from './target-device.ts';

const corePath = `${targetPath}/core`;

export interface KernelTargetOptions {
  /** Of this snapshotter among others on the machine; -1 for none. */
  readonly tenant: number;
  /** Absolute path of `<root>/snapshots`. */
  readonly snapshotsPath: string;
  readonly pool: Pick<HelperPool, 'run'>;
  /** Who serves the kernel's target now; undefined if nobody does. */
  readonly servedBy: () => Promise<string | undefined>;
  readonly crashPoint: CrashPoint;
  /** How long attaching or detaching may take before it is given up. */
  readonly deadlineMs: number;
  /** Waits; for tests. */
  readonly sleep?: (milliseconds: number) => Promise<void>;
}

export class KernelTarget implements DeviceTransport {
  readonly #options: KernelTargetOptions;

  constructor(options: KernelTargetOptions) {
    this.#options = options;
  }

  async offers(): Promise<EffectResult<readonly string[]>> {
    const { servedBy, snapshotsPath } = this.#options;
    if (whyNoneConfigurable(snapshotsPath) !== undefined || (await servedBy()) === undefined)
      return { ok: true, value: [] };
    const there = await this.#list(targetPath);
    return there.ok ? { ok: true, value: there.value === undefined ? [] : ['tcmu'] } : there;
  }

  async find(deviceId: number): Promise<EffectResult<AttachedDevice | undefined>> {
    const tenants = await this.#tenants();
    if (!tenants.ok) return tenants;
    for (const tenant of tenants.value) {
      const device = this.#device(deviceId, tenant);
      // What has no name there is not there.
      if (!device.ok) return { ok: true, value: undefined };
      const { ask, names, config } = device.value;
      const looked = await look(ask, names);
      if (!looked.ok) return failedOrder(looked);
      if (foreignPart(looked.value, names, config) !== undefined) continue;
      if (!isComplete(looked.value)) continue;
      const disk = await awaitDisk(ask, device.value, device.value.sleep);
      return disk.ok ? finish(device.value, disk.value) : disk;
    }
    return { ok: true, value: undefined };
  }

  async attach(deviceId: number): Promise<EffectResult<AttachedDevice>> {
    const possible = checkConfigurable(imageConfigOf(this.#options.snapshotsPath, deviceId));
    if (!possible.ok) return possible;
    const device = this.#device(deviceId, this.#options.tenant);
    return device.ok ? attach(device.value) : device;
  }

  async detach(deviceId: number): Promise<EffectResult<void>> {
    const tenants = await this.#tenants();
    if (!tenants.ok) return tenants;
    for (const tenant of tenants.value) {
      const device = this.#device(deviceId, tenant);
      if (!device.ok) return done;
      if (tenant !== this.#options.tenant) {
        const looked = await look(device.value.ask, device.value.names);
        if (!looked.ok) return failedOrder(looked);
        // Without its configuration nothing of another tenant's is known as ours.
        if (looked.value.config !== device.value.config) continue;
      }
      const detached = await detach(device.value);
      if (!detached.ok) return detached;
    }
    return done;
  }

  async sightings(): Promise<EffectResult<readonly SightedDevice[]>> {
    const tenants = await this.#tenants();
    if (!tenants.ok) return tenants;
    const seen = new Map<number, SightedDevice>();
    for (const tenant of tenants.value) {
      const listed = await this.#list(`${corePath}/${adapterOf(tenant)}`);
      if (!listed.ok) return listed;
      for (const { name } of listed.value ?? []) {
        const deviceId = idOfDevice(name);
        const device = deviceId === undefined ? undefined : this.#device(deviceId, tenant);
        if (deviceId === undefined || device?.ok !== true) continue;
        const sighted = await sight(device.value);
        // One with which somebody is stuck in the kernel hides no other.
        const one = sighted.ok ? sighted.value : { path: null, unseen: sighted.failure };
        if (one === undefined) continue;
        seen.set(deviceId, seenTogether(seen.get(deviceId), { deviceId, ...one }));
      }
    }
    return { ok: true, value: [...seen.values()] };
  }

  /** Ours first, then others that there are: a device may have come by another configuration. */
  async #tenants(): Promise<EffectResult<readonly number[]>> {
    const { tenant } = this.#options;
    const listed = await this.#list(corePath);
    if (!listed.ok) return listed;
    const others = (listed.value ?? [])
      .flatMap(({ name }) => tenantOf(name) ?? [])
      .filter((other) => other !== tenant);
    return { ok: true, value: [tenant, ...others] };
  }

  #device(deviceId: number, tenant: number): EffectResult<TargetDevice> {
    const { snapshotsPath, pool, crashPoint, servedBy, deadlineMs } = this.#options;
    const names = targetNames(tenant, deviceId);
    if (!names.ok) return names;
    const ask = askHelpers(pool, { subject: names.value.corePath, deadlineMs });
    const device: TargetDevice = {
      names: names.value,
      config: deviceConfig(imageConfigOf(snapshotsPath, deviceId)),
      ask,
      steps: new Steps(ask, crashPoint),
      result: resultFile(resultFileOf(snapshotsPath, deviceId)),
      servedBy,
      sleep: this.#options.sleep ?? ((milliseconds) => sleep(milliseconds)),
      again: () => {
        const askAgain = askHelpers(pool, { subject: names.value.corePath, deadlineMs });
        return { ...device, ask: askAgain, steps: new Steps(askAgain, crashPoint) };
      },
    };
    return { ok: true, value: device };
  }

  /** The names in a directory; undefined if there is none. */
  async #list(
    path: string,
  ): Promise<EffectResult<readonly { readonly name: string }[] | undefined>> {
    const { pool, deadlineMs } = this.#options;
    const ask = askHelpers(pool, { subject: path, deadlineMs });
    const listed = ifThere(await ask({ operation: 'list-directory', path }));
    return listed.ok ? { ok: true, value: listed.value?.entries } : failedOrder(listed);
  }
}

/** What can be seen of a device without waiting; undefined if it is not ours. */
async function sight({
  ask,
  names,
  config,
}: TargetDevice): Promise<EffectResult<Pick<SightedDevice, 'path'> | undefined>> {
  const looked = await look(ask, names);
  if (!looked.ok) return failedOrder(looked);
  const standing = looked.value;
  if (standing.config !== config) return { ok: true, value: undefined };
  const isOurs = foreignPart(standing, names, config) === undefined;
  if (!isOurs || !isComplete(standing)) return { ok: true, value: { path: null } };
  const place = await findPlace(ask, names);
  if (!place.ok) return failedOrder(place);
  const name = place.value?.name;
  return { ok: true, value: { path: name === undefined ? null : `/dev/${name}` } };
}
