// The kernel's target as overlaybd's clients configure it, step by step, so that varve-bd is held
// against what they do: a device in the target's core, then a disk of it by the loopback fabric.
import { constants, existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdir, open, readFile, rmdir, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { waitUntil } from '../programs.ts';

const root = '/sys/kernel/config/target';
export const adapter = 'user_999999999';
const parameters = '/sys/module/target_core_user/parameters';
/** As long as the kernel can wait. */
const foreverSeconds = '2147483';

/** One write(2), as the kernel's files want it. */
async function writeAttribute(path: string, text: string): Promise<void> {
  const file = await open(path, constants.O_WRONLY);
  try {
    await file.write(text);
  } finally {
    await file.close();
  }
}

const present = (folder: string): readonly string[] => {
  try {
    return readdirSync(folder, { encoding: 'utf8' });
  } catch {
    return [];
  }
};

export interface Disk {
  readonly id: string;
  readonly path: string;
  readonly name: string;
}

const coreOf = (id: string): string => `${root}/core/${adapter}/dev_${id}`;
const portOf = (id: string): string => `naa.199${id.padStart(13, '0')}`;
const unitOf = (id: string): string => `${root}/loopback/${portOf(id)}/tpgt_1/lun/lun_0`;

/** How varve-bd calls the device. */
export const deviceName = (id: string): string => `${adapter}:dev_${id}`;

/** Asks the kernel for a device whose image this is: comes back when varve-bd has opened it. */
export async function enable(id: string, config: string): Promise<void> {
  const core = coreOf(id);
  await mkdir(core, { recursive: true, mode: 0o700 });
  await writeAttribute(`${core}/control`, `dev_config=${config}`);
  await writeAttribute(`${core}/control`, 'max_data_area_mb=4');
  await writeAttribute(`${core}/enable`, '1');
}

/** The disk of a device that is enabled. */
export async function expose(id: string): Promise<Disk> {
  const group = `${root}/loopback/${portOf(id)}/tpgt_1`;
  await writeAttribute(`${coreOf(id)}/attrib/cmd_time_out`, foreverSeconds);
  await mkdir(unitOf(id), { recursive: true });
  await writeAttribute(`${group}/nexus`, portOf(id));
  await symlink(coreOf(id), `${unitOf(id)}/dev_${id}`);
  const address = (await readFile(`${group}/address`, 'utf8')).trim();
  const folder = `/sys/class/scsi_device/${address}:0/device/block`;
  let name = '';
  await waitUntil(`a disk at ${address}`, async () => {
    name = present(folder)[0] ?? '';
    return name !== '' && existsSync(`/sys/block/${name}/device/timeout`);
  });
  await writeAttribute(`/sys/block/${name}/device/timeout`, foreverSeconds);
  return { id, name, path: `/dev/${name}` };
}

export async function attach(id: string, configPath: string): Promise<Disk> {
  await enable(id, `overlaybd/${configPath}`);
  return expose(id);
}

/** Takes a disk away, also a part of one. */
export async function detach(id: string): Promise<void> {
  const absent = (error: unknown): void => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  };
  await unlink(`${unitOf(id)}/dev_${id}`).catch(absent);
  await rmdir(unitOf(id)).catch(absent);
  await rmdir(`${root}/loopback/${portOf(id)}/tpgt_1`).catch(absent);
  await rmdir(`${root}/loopback/${portOf(id)}`).catch(absent);
  await rmdir(coreOf(id)).catch(absent);
}

/** Asks for another value of what a device is: the kernel asks varve-bd. */
export const reconfigure = (id: string, attribute: string, value: string): Promise<void> =>
  writeAttribute(`${coreOf(id)}/attrib/${attribute}`, value);

/** The node over which a device is served; undefined without one. */
export async function uioOf(id: string): Promise<string | undefined> {
  for (const name of present('/sys/class/uio')) {
    const device = await readFile(`/sys/class/uio/${name}/name`, 'utf8');
    if (device.includes(`/dev_${id}/`)) return `/dev/${name}`;
  }
  return undefined;
}

/** The devices that the kernel has. */
export const presentIds = (): readonly string[] =>
  present(`${root}/core/${adapter}`)
    .filter((name) => name.startsWith('dev_'))
    .map((name) => name.slice('dev_'.length));

export const isNetlinkBlocked = (): boolean =>
  readFileSync(join(parameters, 'block_netlink'), 'utf8').trim() === 'blocked';
