// Devices that varve-bd attaches, by fuse or ublk. A device is named after its snapshot and is ours
// if its configuration lies below our directory; nothing else is ever touched.
import { existsSync } from 'node:fs';
import type { AttachedDevice, EffectResult } from '../../engine/ports.ts';
import type { DevicePlan } from '../../machines/device/events.ts';
import { done, failed } from '../block-devices/failed.ts';
import { imageConfigOf } from '../block-devices/places.ts';
import type {
  DeviceTransport,
  RecordedTransports,
  SightedDevice,
} from '../block-devices/transport.ts';
import { Daemon } from './daemon.ts';

export interface BlockDaemonTransportOptions {
  /** Unix socket of varve-bd. */
  readonly socketPath: string;
  /** Absolute path of `<root>/snapshots`. */
  readonly snapshotsPath: string;
  /**
   * Whether it may be that no varve-bd is meant to be there: then it has no devices where it has no
   * socket either, unless it is known to have some.
   */
  readonly mayBeAbsent: () => Promise<boolean>;
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

interface Offer {
  readonly daemon: {
    /** The first that an open takes. */
    readonly transport: string;
    /** Those that there are, the best first; older daemons, which have one, do not tell it. */
    readonly transports?: readonly string[];
  };
}

/** How long a close waits until all is written and let go of; one in use is refused at once. */
const closePatienceMs = 10_000;

/** The device of a snapshot as varve-bd lists it, and whether it is of this root. */
interface Known {
  readonly device: ListedDevice;
  readonly isOurs: boolean;
}

export class BlockDaemonTransport implements DeviceTransport {
  readonly #options: BlockDaemonTransportOptions;
  readonly #daemon: Daemon;
  /** Devices that it has attached according to the history, as that was told last. */
  #recorded = new Set<number>();
  /** Those that it was asked to attach from here, until it says that it has them no more. */
  readonly #begun = new Set<number>();

  constructor(options: BlockDaemonTransportOptions) {
    this.#options = options;
    this.#daemon = new Daemon(options.socketPath);
  }

  async offers(): Promise<EffectResult<readonly string[]>> {
    if (await this.#isAbsent()) return { ok: true, value: [] };
    const told = await this.#told();
    if (!told.ok) return told;
    // What it only serves somebody else attaches.
    return { ok: true, value: offered(told.value).filter((name) => name !== served) };
  }

  async find(deviceId: number): Promise<EffectResult<AttachedDevice | undefined>> {
    const known = await this.#known(deviceId);
    if (!known.ok) return known;
    return known.value?.isOurs === true
      ? inService(known.value.device)
      : { ok: true, value: undefined };
  }

  async attach(
    deviceId: number,
    plan: DevicePlan,
    transport: string,
  ): Promise<EffectResult<AttachedDevice>> {
    const known = await this.#known(deviceId);
    if (!known.ok) return known;
    if (known.value?.isOurs === true) return inService(known.value.device);
    if (known.value !== undefined) {
      const { device, config } = known.value.device;
      const message =
        `varve-bd has a device ${device} that is not of this root: ` +
        'let each root have a varve-bd of its own';
      return failed({ step: 'open', code: 'EEXIST', message, path: config });
    }
    const asked = await this.#transportField(transport);
    if (!asked.ok) return asked;
    // It may have it also where its answer is lost.
    this.#begun.add(deviceId);
    const opened = await this.#daemon.request<OpenedDevice>('open', {
      config: this.#configOf(deviceId),
      device: nameOf(deviceId),
      readOnly: plan.access === 'readOnly',
      deadlineMs: this.#options.deadlineMs,
      ...asked.value,
    });
    return opened.ok ? { ok: true, value: attached(opened.value) } : opened;
  }

  async detach(deviceId: number): Promise<EffectResult<void>> {
    if (await this.#isAbsent()) return done;
    const named = await this.#named(deviceId);
    if (!named.ok) return named;
    const isThere = named.value?.isOurs === true;
    const closed = isThere ? await this.#close(named.value.device) : done;
    if (!closed.ok) return closed;
    this.#begun.delete(deviceId);
    this.#recorded.delete(deviceId);
    return done;
  }

  async #close(listed: ListedDevice): Promise<EffectResult<void>> {
    const { device, state, config } = listed;
    if (isAttached(state)) {
      // One that is not served again yet is not closed either.
      const usable = inService(listed);
      if (!usable.ok) return usable;
    }
    const fields = { device, mode: 'if-unused', patienceMs: closePatienceMs };
    const closed = await this.#daemon.request<ClosedDevice>('close', fields);
    if (!closed.ok) return closed.failure.code === 'ENOENT' ? done : closed;
    const { gone, users = [] } = closed.value;
    if (gone) return done;
    // Its layer is still open there: whoever made it another one now would lose what is written.
    const who = users.map(({ text }) => text).join('; ');
    const message = `varve-bd closes it, and waits for ${who === '' ? 'the kernel' : who}`;
    return failed({ step: 'close', code: 'EBUSY', message, path: config });
  }

  async sightings(recorded: RecordedTransports): Promise<EffectResult<readonly SightedDevice[]>> {
    const own = [...recorded].filter(([, transport]) => transport !== served);
    this.#recorded = new Set(own.map(([deviceId]) => deviceId));
    const listed = await this.#list();
    if (!listed.ok) return listed;
    const seen = listed.value.flatMap(({ device, config, state, path }) => {
      const deviceId = idOf(device);
      if (deviceId === undefined || config !== this.#configOf(deviceId)) return [];
      return [{ deviceId, path: isAttached(state) ? path : null }];
    });
    return { ok: true, value: seen };
  }

  async #known(deviceId: number): Promise<EffectResult<Known | undefined>> {
    const named = await this.#named(deviceId);
    if (!named.ok || named.value === undefined) return named;
    return { ok: true, value: isAttached(named.value.device.state) ? named.value : undefined };
  }

  /** The device of that name in whatever state. */
  async #named(deviceId: number): Promise<EffectResult<Known | undefined>> {
    const listed = await this.#list();
    if (!listed.ok) return listed;
    const device = listed.value.find((one) => one.device === nameOf(deviceId));
    if (device === undefined) return { ok: true, value: undefined };
    return { ok: true, value: { device, isOurs: device.config === this.#configOf(deviceId) } };
  }

  async #list(): Promise<EffectResult<readonly ListedDevice[]>> {
    if (await this.#isAbsent()) return { ok: true, value: [] };
    const listed = await this.#daemon.request<{ devices: readonly ListedDevice[] }>('list', {});
    return listed.ok ? { ok: true, value: listed.value.devices } : listed;
  }

  /** One that has devices of ours, which can outlive it, is only away. */
  async #isAbsent(): Promise<boolean> {
    const { socketPath, mayBeAbsent } = this.#options;
    if (this.#recorded.size > 0 || this.#begun.size > 0) return false;
    return !existsSync(socketPath) && (await mayBeAbsent());
  }

  async #told(): Promise<EffectResult<Offer['daemon']>> {
    const stats = await this.#daemon.request<Offer>('stats', {});
    return stats.ok ? { ok: true, value: stats.value.daemon } : stats;
  }

  /** What an open is asked for beside the device: older daemons refuse a field that they lack. */
  async #transportField(wanted: string): Promise<EffectResult<{ readonly transport?: string }>> {
    const told = await this.#told();
    if (!told.ok) return told;
    const { transport: first, transports } = told.value;
    if (first === wanted) return { ok: true, value: {} };
    if (transports?.includes(wanted) === true) return { ok: true, value: { transport: wanted } };
    const message =
      `varve-bd has no transport ${wanted} here, only ${offered(told.value).join(', ')}: ` +
      'varve doctor says what it lacks; or choose another "transport"';
    return failed({ step: 'open', code: 'ENOTSUP', message });
  }

  #configOf(deviceId: number): string {
    return imageConfigOf(this.#options.snapshotsPath, deviceId);
  }
}

/** Devices of the kernel's target are configured there, and only served by varve-bd. */
const served = 'tcmu';

const offered = ({ transport, transports }: Offer['daemon']): readonly string[] =>
  transports ?? [transport];

/** Whether the varve-bd at `socketPath` serves devices of the kernel's target. */
export async function servesTarget(socketPath: string): Promise<boolean> {
  const stats = await new Daemon(socketPath).request<Offer>('stats', {});
  return stats.ok && offered(stats.value.daemon).includes(served);
}

const nameOf = (deviceId: number): string => `snapshot-${deviceId}`;

const attached = ({ path, sizeBytes, transport }: OpenedDevice): AttachedDevice => ({
  path,
  sizeBytes,
  transport,
});

/** Also one of a daemon before, whose users wait until it is served again. */
const isAttached = (state: string): boolean => state === 'open' || state === 'recovering';

function inService(device: ListedDevice): EffectResult<AttachedDevice> {
  if (device.state === 'open') return { ok: true, value: attached(device) };
  const { path, config, problem = 'it has just started' } = device;
  const message = `varve-bd does not serve ${path} again yet: ${problem}`;
  return failed({ step: 'open', code: 'EBUSY', message, path: config });
}

/** The id in the name of a device; undefined if it is named by others. */
function idOf(name: string): number | undefined {
  const match = /^snapshot-([1-9]\d{0,15})$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}
