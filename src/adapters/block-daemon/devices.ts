// The devices of snapshots: varve-bd attaches them, the kernel mounts them in the directory of
// their snapshot. A device is named after its snapshot and is ours if its configuration lies below
// our directory; nothing else is ever touched.
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type {
  AttachedDevice,
  BlockDevices,
  DeviceSighting,
  EffectResult,
} from '../../engine/ports.ts';
import type { DevicePlan, WritableLayer } from '../../machines/device/events.ts';
import type { HelperPool } from '../helper-pool/pool.ts';
import { Daemon } from './daemon.ts';
import { done, failed } from './failed.ts';
import { format } from './format.ts';
import { mountsBelow, type MountedDevice } from './mounted-devices.ts';

export interface BlockDaemonDevicesOptions {
  /** Unix socket of varve-bd. */
  readonly socketPath: string;
  /** How devices are to reach the kernel; `auto`: as varve-bd chooses. */
  readonly transport: string;
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
}

interface OpenedDevice {
  readonly device: string;
  readonly path: string;
  readonly config: string;
  readonly transport: string;
  readonly sizeBytes: number;
}

interface Offer {
  readonly daemon: {
    /** The first that an open takes. */
    readonly transport: string;
    /** Those that there are, the best first; older daemons, which have one, do not tell it. */
    readonly transports?: readonly string[];
  };
}

interface ListedDevice extends OpenedDevice {
  readonly state: string;
  /** Why one of a daemon before is not served again. */
  readonly problem?: string;
}

/** What a close tells of a device that is not gone yet. */
interface ClosedDevice {
  readonly gone: boolean;
  readonly users?: readonly { readonly text: string }[];
}

/** How long a close waits until all is written and let go of; one in use is refused at once. */
const closePatienceMs = 10_000;

export class BlockDaemonDevices implements BlockDevices {
  readonly #options: BlockDaemonDevicesOptions;
  readonly #daemon: Daemon;

  constructor(options: BlockDaemonDevicesOptions) {
    this.#options = options;
    this.#daemon = new Daemon(options.socketPath);
  }

  async attach(deviceId: number, plan: DevicePlan): Promise<EffectResult<AttachedDevice>> {
    const known = await this.#adopted(deviceId);
    if (!known.ok) return known;
    if (known.value !== undefined) return { ok: true, value: known.value };
    const { makeWritableLayer, deadlineMs } = this.#options;
    if (plan.writableLayer !== null) {
      const made = await makeWritableLayer(deviceId, plan.writableLayer);
      if (!made.ok) return made;
    }
    const asked = await this.#transportField();
    if (!asked.ok) return asked;
    const opened = await this.#daemon.request<OpenedDevice>('open', {
      config: this.#configOf(deviceId),
      device: nameOf(deviceId),
      readOnly: plan.access === 'readOnly',
      deadlineMs,
      ...asked.value,
    });
    if (!opened.ok) return opened;
    const { path: devicePath, sizeBytes, transport } = opened.value;
    return { ok: true, value: { path: devicePath, sizeBytes, transport } };
  }

  /** What an open is asked for beside the device: older daemons refuse a field that they lack. */
  async #transportField(): Promise<EffectResult<{ readonly transport?: string }>> {
    const { transport } = this.#options;
    if (transport === 'auto') return { ok: true, value: {} };
    const stats = await this.#daemon.request<Offer>('stats', {});
    if (!stats.ok) return stats;
    const { transport: first, transports } = stats.value.daemon;
    if (transports?.includes(transport) === true) return { ok: true, value: { transport } };
    if (transports === undefined && first === transport) return { ok: true, value: {} };
    const message =
      `varve-bd has no transport ${transport} here, only ${(transports ?? [first]).join(', ')}: ` +
      'varve doctor says what it lacks; or choose another "transport"';
    return failed({ step: 'open', code: 'ENOTSUP', message });
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

  /** Since it was attached, its path may have become that of another's device. */
  async #isOurs(deviceId: number, devicePath: string, step: string): Promise<EffectResult<void>> {
    const known = await this.#adopted(deviceId);
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

  async unmount(deviceId: number): Promise<EffectResult<void>> {
    const target = this.#mountPointOf(deviceId);
    // Something may have been mounted on top.
    while ((await this.#mountsAt(target)).length > 0) {
      const unmounted = await this.#unmountOnce(target);
      if (!unmounted.ok) return unmounted;
    }
    return done;
  }

  async detach(deviceId: number): Promise<EffectResult<void>> {
    const known = await this.#adopted(deviceId);
    // What bears the name and is not ours is no business of this.
    if (!known.ok) return known.failure.code === 'EEXIST' ? done : known;
    const closed = await this.#daemon.request<ClosedDevice>('close', {
      device: nameOf(deviceId),
      mode: 'if-unused',
      patienceMs: closePatienceMs,
    });
    if (!closed.ok) return closed.failure.code === 'ENOENT' ? done : closed;
    const { gone, users = [] } = closed.value;
    if (gone) return done;
    // Its layer is still open there: whoever made it another one now would lose what is written.
    const who = users.map(({ text }) => text).join('; ');
    const message = `varve-bd closes it, and waits for ${who === '' ? 'the kernel' : who}`;
    return failed({ step: 'close', code: 'EBUSY', message, path: this.#configOf(deviceId) });
  }

  async observe(): Promise<EffectResult<readonly DeviceSighting[]>> {
    const listed = await this.#list();
    if (!listed.ok) return listed;
    const sightings = new Map<number, DeviceSighting>();
    for (const { device, config, state, path: devicePath } of listed.value) {
      const deviceId = idOf(device);
      if (deviceId === undefined || config !== this.#configOf(deviceId)) continue;
      const openPath = isAttached(state) ? devicePath : null;
      sightings.set(deviceId, { deviceId, path: openPath, isMounted: false });
    }
    for (const { snapshotId } of await mountsBelow(this.#options.snapshotsPath)) {
      const known = sightings.get(snapshotId) ?? { deviceId: snapshotId, path: null };
      sightings.set(snapshotId, { ...known, isMounted: true });
    }
    return { ok: true, value: [...sightings.values()] };
  }

  /** The device if varve-bd has it open already: with our configuration, or it is another's. */
  async #adopted(deviceId: number): Promise<EffectResult<AttachedDevice | undefined>> {
    const listed = await this.#list();
    if (!listed.ok) return listed;
    const found = listed.value.find(({ device }) => device === nameOf(deviceId));
    if (found === undefined || !isAttached(found.state)) return { ok: true, value: undefined };
    const { config, path: devicePath, sizeBytes, transport } = found;
    if (config === this.#configOf(deviceId)) {
      if (found.state !== 'open') {
        const { problem = 'it has just started' } = found;
        const message = `varve-bd does not serve ${devicePath} again yet: ${problem}`;
        return failed({ step: 'open', code: 'EBUSY', message, path: config });
      }
      return { ok: true, value: { path: devicePath, sizeBytes, transport } };
    }
    const message =
      `varve-bd has a device ${nameOf(deviceId)} that is not of this root: ` +
      'let each root have a varve-bd of its own';
    return failed({ step: 'open', code: 'EEXIST', message, path: config });
  }

  async #list(): Promise<EffectResult<readonly ListedDevice[]>> {
    const listed = await this.#daemon.request<{ devices: readonly ListedDevice[] }>('list', {});
    return listed.ok ? { ok: true, value: listed.value.devices } : listed;
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

  #folderOf(deviceId: number): string {
    return path.join(this.#options.snapshotsPath, `${deviceId}`, 'block');
  }

  #mountPointOf(deviceId: number): string {
    return path.join(this.#folderOf(deviceId), 'mountpoint');
  }

  #configOf(deviceId: number): string {
    return imageConfigOf(this.#options.snapshotsPath, deviceId);
  }
}

/** The configuration by which a device is known as ours. */
export const imageConfigOf = (snapshotsPath: string, deviceId: number): string =>
  path.join(snapshotsPath, `${deviceId}`, 'block', 'config.v1.json');

const nameOf = (deviceId: number): string => `snapshot-${deviceId}`;

/** Also one of a daemon before, whose users wait until it is served again. */
const isAttached = (state: string): boolean => state === 'open' || state === 'recovering';

/** The id in the name of a device; undefined if it is named by others. */
export function idOf(name: string): number | undefined {
  const match = /^snapshot-([1-9]\d{0,15})$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** `7:3`, as mountinfo has it; the bits of a device number are Linux's. */
function deviceNumber(rdev: number): string {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  return `${major}:${minor}`;
}
