// What the devices of snapshots are called in the kernel's SCSI target: as overlaybd's own
// snapshotter calls them, so that whoever knows those finds these.
import type { EffectResult } from '../../engine/ports.ts';
import { failed } from '../block-devices/failed.ts';
import { imageConfigOf } from '../block-devices/places.ts';

/** Where the kernel's target is configured. */
export const targetPath = '/sys/kernel/config/target';

/** Stands for no tenant. */
const noTenant = -1;

/** Digits of an id in the name of a port, which has 16 in all. */
const idDigits = 13;

/** The kernel keeps so many bytes of a configuration, and says nothing when it cuts off others. */
const configBytesMax = 255;

/** Everything that there is of one device. */
export interface TargetNames {
  /** `dev_7` */
  readonly device: string;
  /** The adapter's directory, which stays when its devices go. */
  readonly adapterPath: string;
  /** The device itself. */
  readonly corePath: string;
  /** `naa.1990000000000007` */
  readonly port: string;
  /** The directory of all ports, which stays, too. */
  readonly fabricPath: string;
  readonly portPath: string;
  readonly groupPath: string;
  readonly unitPath: string;
  /** Leads to the device. */
  readonly linkPath: string;
}

/** `user_999999999`; of a tenant its number. */
export const adapterOf = (tenant: number): string =>
  `user_${tenant === noTenant ? 999_999_999 : tenant}`;

/** The tenant of an adapter; undefined if it is none of a snapshotter. */
export function tenantOf(adapter: string): number | undefined {
  const digits = /^user_(0|[1-9]\d{0,9})$/.exec(adapter)?.[1];
  if (digits === undefined) return undefined;
  return adapter === adapterOf(noTenant) ? noTenant : Number(digits);
}

const prefixOf = (tenant: number): number => (tenant === noTenant ? 199 : 100 + (tenant % 100));

/** The names of a device; fails for an id that has none. */
export function targetNames(tenant: number, deviceId: number): EffectResult<TargetNames> {
  const digits = `${deviceId}`.padStart(idDigits, '0');
  if (digits.length > idDigits) {
    const message = `the kernel's target has no names for ids of more than ${idDigits} digits`;
    return failed({ step: 'attach', code: 'ENAMETOOLONG', message });
  }
  const device = `dev_${deviceId}`;
  const adapterPath = `${targetPath}/core/${adapterOf(tenant)}`;
  const port = `naa.${prefixOf(tenant)}${digits}`;
  const fabricPath = `${targetPath}/loopback`;
  const portPath = `${fabricPath}/${port}`;
  const groupPath = `${portPath}/tpgt_1`;
  const unitPath = `${groupPath}/lun/lun_0`;
  return {
    ok: true,
    value: {
      ...{ device, adapterPath, corePath: `${adapterPath}/${device}` },
      ...{ port, fabricPath, portPath, groupPath, unitPath, linkPath: `${unitPath}/${device}` },
    },
  };
}

/** The id in the name of a device; undefined if it is named by others. */
export function idOfDevice(name: string): number | undefined {
  const match = /^dev_([1-9]\d{0,12})$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** By which a daemon finds the image of a device. */
export const deviceConfig = (imageConfig: string): string => `overlaybd/${imageConfig}`;

/** Why the kernel or a daemon would read another path than this one; undefined if none would. */
export function whyNotConfigurable(imageConfig: string): string | undefined {
  if (/[,\n]/.test(imageConfig)) return 'the kernel splits what it is told at commas and newlines';
  if (imageConfig.includes(';')) return 'what follows a semicolon is taken for a name';
  const sizeBytes = Buffer.byteLength(deviceConfig(imageConfig));
  if (sizeBytes <= configBytesMax) return undefined;
  return `it has ${sizeBytes} bytes there, and the kernel keeps ${configBytesMax}`;
}

/** The same of the longest path that a device of this root can have. */
export const whyNoneConfigurable = (snapshotsPath: string): string | undefined =>
  whyNotConfigurable(imageConfigOf(snapshotsPath, Number.MAX_SAFE_INTEGER));

/** The same as the failure of an attach. */
export function checkConfigurable(imageConfig: string): EffectResult<void> {
  const reason = whyNotConfigurable(imageConfig);
  if (reason === undefined) return { ok: true, value: undefined };
  const message =
    `the image configuration ${JSON.stringify(imageConfig)} cannot be used with tcmu: ${reason}; ` +
    'choose another root, or another "transport"';
  return failed({ step: 'attach', code: 'EINVAL', message, path: imageConfig });
}
