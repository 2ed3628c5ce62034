// The SCSI disk that the kernel makes of a device: found by the address of its port, and taken only
// if it says of itself that it is the device that is wanted.
import type { EffectResult } from '../../engine/ports.ts';
import { failed } from '../block-devices/failed.ts';
import type { HelperResult } from '../helper-pool/requests.ts';
import type { TargetNames } from './names.ts';
import { failedOrder, ifThere, type Ask } from './orders.ts';

export interface Disk {
  /** `sdb` */
  readonly name: string;
  /** `/dev/sdb` */
  readonly path: string;
  readonly sizeBytes: number;
  readonly major: number;
  readonly minor: number;
}

/** The disk, or what of it is not there. */
type Looked = { readonly disk: Disk } | { readonly missing: string };

/** How often it is looked for, and how long between two looks. */
const lookCount = 1_000;
const lookEveryMs = 10;

/** As both overlaybd's daemon and varve-bd answer an INQUIRY. */
const vendor = 'LIO-ORG';
const model = 'TCMU device';

/** Where a port shows its disk. */
interface Place {
  /** In sysfs. */
  readonly folder: string;
  /** Of the port's only unit: host, channel, target and its number, 0. */
  readonly address: string;
  /** `sdb`; undefined while there is none. */
  readonly name: string | undefined;
}

/** Where the disk of a device is; undefined if its port is not there. */
export async function findPlace(
  ask: Ask,
  { groupPath }: TargetNames,
): Promise<HelperResult<Place | undefined>> {
  const told = ifThere(await ask({ operation: 'read-attribute', path: `${groupPath}/address` }));
  if (!told.ok || told.value === undefined) return told as HelperResult<undefined>;
  const address = `${told.value.text.trim()}:0`;
  const folder = `/sys/class/scsi_device/${address}/device`;
  const listed = ifThere(await ask({ operation: 'list-directory', path: `${folder}/block` }));
  if (!listed.ok) return listed;
  return { ok: true, value: { folder, address, name: listed.value?.entries[0]?.name } };
}

/** Waits for the disk and its node; fails, and says which of them, if one does not come. */
export async function awaitDisk(
  ask: Ask,
  wanted: { readonly names: TargetNames; readonly config: string },
  sleep: (milliseconds: number) => Promise<void>,
): Promise<EffectResult<Disk>> {
  let missing = '';
  for (let count = 1; count <= lookCount; count += 1) {
    if (count > 1) await sleep(lookEveryMs);
    const looked = await lookForDisk(ask, wanted);
    if (!looked.ok) return looked;
    if ('disk' in looked.value) return { ok: true, value: looked.value.disk };
    ({ missing } = looked.value);
  }
  const waitedSeconds = (lookCount * lookEveryMs) / 1_000;
  const message = `${missing} did not appear within ${waitedSeconds} s: look at dmesg and udev`;
  return failed({ step: 'disk', code: 'ETIMEDOUT', message });
}

async function lookForDisk(
  ask: Ask,
  { names, config }: { readonly names: TargetNames; readonly config: string },
): Promise<EffectResult<Looked>> {
  const found = await findPlace(ask, names);
  if (!found.ok) return failedOrder(found);
  const { folder, name, address } = found.value ?? { address: 'of its port' };
  const nothing = {
    ok: true,
    value: { missing: `a disk at the SCSI address ${address}` },
  } as const;
  if (folder === undefined || name === undefined) return nothing;
  const read = async (path: string): Promise<HelperResult<string | undefined>> => {
    const told = ifThere(await ask({ operation: 'read-attribute', path }));
    return told.ok ? { ok: true, value: told.value?.text } : told;
  };
  const texts: (string | undefined)[] = [];
  for (const file of ['vendor', 'model', 'vpd_pg83', `block/${name}/dev`, `block/${name}/size`]) {
    const told = await read(`${folder}/${file}`);
    // A page that the disk does not have cannot be read.
    if (!told.ok && file !== 'vpd_pg83') return failedOrder(told);
    texts.push(told.ok ? told.value : undefined);
  }
  const [itsVendor, itsModel, page = '', number, sectors] = texts;
  if (itsVendor === undefined || number === undefined || sectors === undefined) return nothing;
  const itself = `${itsVendor.trim()} ${itsModel?.trim() ?? ''}`;
  const other = itself === `${vendor} ${model}` ? nameOfAnother(page, names, config) : itself;
  const path = `/dev/${name}`;
  if (other !== undefined) {
    const message = `${path} at ${address} is not the disk of ${names.corePath}: it is ${other}`;
    return failed({ step: 'disk', code: 'ENODEV', message, path });
  }
  const node = ifThere(await ask({ operation: 'device-number', path }));
  if (!node.ok) return failedOrder(node);
  const isIts = node.value && `${node.value.major}:${node.value.minor}` === number.trim();
  if (node.value === undefined || !isIts)
    return { ok: true, value: { missing: `the node ${path}` } };
  const sizeBytes = Number(sectors.trim()) * 512;
  return { ok: true, value: { disk: { name, path, sizeBytes, ...node.value } } };
}

/**
 * What the page of its names says that is not of the wanted device: overlaybd's daemon puts the
 * configuration there, varve-bd the names of adapter and device. A page with neither tells nothing.
 */
function nameOfAnother(
  page: string,
  { corePath }: TargetNames,
  config: string,
): string | undefined {
  const [adapter = '', device = ''] = corePath.split('/').slice(-2);
  const names = [/user_\d+-dev_\w+/.exec(page)?.[0], /overlaybd\/\/[^\0\\]+/.exec(page)?.[0]];
  const own: readonly string[] = [`${adapter}-${device}`, config];
  return names.find((name, index) => {
    // A long name may have been cut off.
    return name !== undefined && !(index === 0 ? name === own[0] : own[1]?.startsWith(name));
  });
}
