// Where the configuration of a device lies, by which its backing store knows it, and we know it as
// ours.
import path from 'node:path';

const folderOf = (snapshotsPath: string, deviceId: number): string =>
  path.join(snapshotsPath, `${deviceId}`, 'block');

/** The configuration by which a device is known as ours. */
export const imageConfigOf = (snapshotsPath: string, deviceId: number): string =>
  path.join(folderOf(snapshotsPath, deviceId), 'config.v1.json');

/** In which the backing store says how opening it went. */
export const resultFileOf = (snapshotsPath: string, deviceId: number): string =>
  path.join(folderOf(snapshotsPath, deviceId), 'init-debug.log');

/** Where the device is mounted. */
export const mountPointOf = (snapshotsPath: string, deviceId: number): string =>
  path.join(folderOf(snapshotsPath, deviceId), 'mountpoint');

/** The device of a configuration; undefined if it is not ours. */
export function deviceIdOf(snapshotsPath: string, config: string): number | undefined {
  if (!config.startsWith(`${snapshotsPath}/`)) return undefined;
  const place = config.slice(snapshotsPath.length + 1);
  const id = /^([1-9]\d{0,15})\/block\/config\.v1\.json$/.exec(place)?.[1];
  return id === undefined ? undefined : Number(id);
}
