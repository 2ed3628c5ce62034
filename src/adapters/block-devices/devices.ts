// The devices of snapshots, over all transports: one that is attached is taken as it is, whichever
// attached it; another one is attached by the transport that is configured, and mounted in the
// directory of its snapshot.
import { mkdir, stat } from 'node:fs/promises';
import type {
  AttachedDevice,
  BlockDevices,
  DeviceSighting,
  EffectResult,
  Logger,
} from '../../engine/ports.ts';
import type { DevicePlan, WritableLayer } from '../../machines/device/events.ts';
import type { HelperPool } from '../helper-pool/pool.ts';
import { chooseTransport } from './choice.ts';
import { done, failed } from './failed.ts';
import { format } from './format.ts';
import { mendFileSystem } from './mend.ts';
import { mountsBelow, type MountedDevice } from './mounted-devices.ts';
import { mountPointOf } from './places.ts';
import { seenTogether, type DeviceTransport, type RecordedTransports } from './transport.ts';

export interface TransportDevicesOptions {
  /** varve-bd: what it does not attach itself the kernel's target does. */
  readonly daemon: DeviceTransport;
  readonly target: DeviceTransport;
  /** How devices are to reach the kernel; `auto`: the first transport that there is. */
  readonly transport: 'auto' | 'ublk' | 'tcmu' | 'fuse';
  /** Absolute path of `<root>/snapshots`. */
  readonly snapshotsPath: string;
  readonly pool: HelperPool;
  /** Makes the writable layer of a device and its configuration, unless they are there. */
  readonly makeWritableLayer: (
    deviceId: number,
    layer: WritableLayer,
  ) => Promise<EffectResult<void>>;
  /** How long one step may take before it is given up. */
  readonly deadlineMs: number;
  readonly logger: Pick<Logger, 'warn'>;
}

export class TransportDevices implements BlockDevices {
  readonly #options: TransportDevicesOptions;
  readonly #transports: readonly DeviceTransport[];

  constructor(options: TransportDevicesOptions) {
    this.#options = options;
    this.#transports = [options.daemon, options.target];
  }

  async attach(deviceId: number, plan: DevicePlan): Promise<EffectResult<AttachedDevice>> {
    const found = await this.#find(deviceId);
    if (!found.ok) return found;
    if (found.value !== undefined) return this.#taken(deviceId, found.value, plan);
    const chosen = await this.#choose();
    if (!chosen.ok) return chosen;
    const { daemon, target } = this.#options;
    const [by, other] = chosen.value === 'tcmu' ? [target, daemon] : [daemon, target];
    // A predecessor may have begun with it there: an image has one device.
    const cleared = await other.detach(deviceId);
    if (!cleared.ok) return cleared;
    if (plan.writableLayer !== null) {
      const made = await this.#options.makeWritableLayer(deviceId, plan.writableLayer);
      if (!made.ok) return made;
    }
    const attached = await by.attach(deviceId, plan, chosen.value);
    return attached.ok ? this.#mended(deviceId, attached.value, plan) : attached;
  }

  /** One that is there already, from before or because it could not be taken away. */
  async #taken(
    deviceId: number,
    device: AttachedDevice,
    plan: DevicePlan,
  ): Promise<EffectResult<AttachedDevice>> {
    // What clients mount they may be using.
    const isUsed =
      plan.mount === 'none' || (await this.#mountsAt(this.#mountPointOf(deviceId))).length > 0;
    return isUsed ? { ok: true, value: device } : this.#mended(deviceId, device, plan);
  }

  /** Whoever wrote it last may have been ended in the middle. Nobody uses it. */
  async #mended(
    deviceId: number,
    device: AttachedDevice,
    plan: DevicePlan,
  ): Promise<EffectResult<AttachedDevice>> {
    const hasFileSystem = plan.access === 'writable' && plan.formatArguments === null;
    if (!hasFileSystem) return { ok: true, value: device };
    const mended = await mendFileSystem(deviceId, device.path, plan, this.#options);
    return mended.ok ? { ok: true, value: device } : mended;
  }

  async format(
    deviceId: number,
    devicePath: string,
    plan: DevicePlan,
  ): Promise<EffectResult<void>> {
    const ours = await this.#isOurs(deviceId, devicePath, 'format');
    return ours.ok ? format(devicePath, plan, this.#options.deadlineMs) : ours;
  }

  async mount(
    deviceId: number,
    devicePath: string,
    { mount, mountOptions, fileSystem: type }: DevicePlan,
  ): Promise<EffectResult<void>> {
    const { pool, deadlineMs } = this.#options;
    const ours = await this.#isOurs(deviceId, devicePath, 'mount');
    if (!ours.ok) return ours;
    const target = this.#mountPointOf(deviceId);
    const isThere = await this.#isMounted(devicePath, target);
    if (!isThere.ok) return isThere;
    if (isThere.value) return done;
    const access = mount === 'readOnly' ? 'ro' : 'rw';
    const more = mountOptions === '' ? [] : mountOptions.split(',');
    const options = [access, ...more];
    const mounted = await pool.run(
      { operation: 'mount', type, source: devicePath, target, options },
      { deadlineMs },
    );
    return mounted.ok ? done : failed(mounted);
  }

  async unmount(deviceId: number): Promise<EffectResult<void>> {
    return this.#unmountAll(deviceId, () => done);
  }

  async unmountWritten(deviceId: number): Promise<EffectResult<'written' | 'gone'>> {
    const { pool, deadlineMs } = this.#options;
    // umount(2) is silent about what it could not write.
    const unmounted = await this.#unmountAll(deviceId, async (target) => {
      const synced = await pool.run({ operation: 'syncfs', path: target }, { deadlineMs });
      return synced.ok ? done : failed(synced);
    });
    if (!unmounted.ok) return unmounted;
    const found = await this.#find(deviceId);
    return found.ok ? { ok: true, value: found.value === undefined ? 'gone' : 'written' } : found;
  }

  async #unmountAll(
    deviceId: number,
    before: (target: string) => EffectResult<void> | Promise<EffectResult<void>>,
  ): Promise<EffectResult<void>> {
    const target = this.#mountPointOf(deviceId);
    // Something may have been mounted on top.
    while ((await this.#mountsAt(target)).length > 0) {
      const prepared = await before(target);
      if (!prepared.ok) return prepared;
      const unmounted = await this.#unmountOnce(target);
      if (!unmounted.ok) return unmounted;
    }
    return done;
  }

  /** Wherever it is. */
  async detach(deviceId: number): Promise<EffectResult<void>> {
    for (const transport of this.#transports) {
      const detached = await transport.detach(deviceId);
      if (!detached.ok) return detached;
    }
    return done;
  }

  async observe(recorded: RecordedTransports): Promise<EffectResult<readonly DeviceSighting[]>> {
    const sightings = new Map<number, DeviceSighting>();
    for (const transport of this.#transports) {
      const seen = await transport.sightings(recorded);
      if (!seen.ok) return seen;
      for (const one of seen.value) {
        const { deviceId } = one;
        const both = seenTogether(sightings.get(deviceId), one);
        sightings.set(deviceId, { ...both, isMounted: false });
      }
    }
    for (const { snapshotId } of await mountsBelow(this.#options.snapshotsPath)) {
      const known = sightings.get(snapshotId) ?? { deviceId: snapshotId, path: null };
      sightings.set(snapshotId, { ...known, isMounted: true });
    }
    return { ok: true, value: [...sightings.values()] };
  }

  async #find(deviceId: number): Promise<EffectResult<AttachedDevice | undefined>> {
    for (const transport of this.#transports) {
      const found = await transport.find(deviceId);
      if (!found.ok || found.value !== undefined) return found;
    }
    return { ok: true, value: undefined };
  }

  async #choose(): Promise<EffectResult<string>> {
    const { transport } = this.#options;
    if (transport !== 'auto') return { ok: true, value: transport };
    const offered: string[] = [];
    for (const one of this.#transports) {
      const offers = await one.offers();
      if (!offers.ok) return offers;
      offered.push(...offers.value);
    }
    return chooseTransport(offered);
  }

  /** Since it was attached, its path may have become that of another's device. */
  async #isOurs(deviceId: number, devicePath: string, step: string): Promise<EffectResult<void>> {
    const known = await this.#find(deviceId);
    if (!known.ok) return known;
    if (known.value?.path === devicePath) return done;
    const message = `${devicePath} is not the device of snapshot #${deviceId} any more`;
    return failed({ step, code: 'ENODEV', message, path: devicePath });
  }

  /** Whether the device is mounted at its place, which is made; another is taken from there. */
  async #isMounted(devicePath: string, target: string): Promise<EffectResult<boolean>> {
    try {
      await mkdir(target, { recursive: true, mode: 0o711 });
      const { rdev } = await stat(devicePath);
      for (const mounted of await this.#mountsAt(target)) {
        if (mounted.device === deviceNumber(rdev)) return { ok: true, value: true };
        const unmounted = await this.#unmountOnce(target);
        if (!unmounted.ok) return unmounted;
      }
      return { ok: true, value: false };
    } catch (error) {
      const { code = 'EIO', message } = error as NodeJS.ErrnoException;
      return failed({ step: 'mount', code, message, path: target });
    }
  }

  async #mountsAt(target: string): Promise<readonly MountedDevice[]> {
    const mounted = await mountsBelow(this.#options.snapshotsPath);
    return mounted.filter(({ mountPoint }) => mountPoint === target);
  }

  async #unmountOnce(target: string): Promise<EffectResult<void>> {
    const { pool, deadlineMs } = this.#options;
    const unmounted = await pool.run({ operation: 'unmount', target }, { deadlineMs });
    return unmounted.ok ? done : failed(unmounted);
  }

  #mountPointOf(deviceId: number): string {
    return mountPointOf(this.#options.snapshotsPath, deviceId);
  }
}

/** `7:3`, as mountinfo has it; the bits of a device number are Linux's. */
function deviceNumber(rdev: number): string {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  return `${major}:${minor}`;
}
