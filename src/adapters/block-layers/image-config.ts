// The configuration of a block device as overlaybd reads it (config.v1.json): field names, their
// order, compact, always with the four fields that every reader wants.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { EffectResult } from '../../engine/ports.ts';
import { syncDirectory } from '../system/directories.ts';
import { failedAt } from './failure.ts';

export const imageConfigName = 'config.v1.json';

/** One layer below, the lowest first in its list. */
export interface LowerLayer {
  readonly file?: string;
  readonly digest?: string;
  readonly size?: number;
  readonly dir?: string;
}

export interface ImageConfig {
  readonly repoBlobUrl: string;
  readonly lowers: readonly LowerLayer[];
  readonly upper: { readonly index?: string; readonly data?: string; readonly vsize?: number };
  readonly resultFile: string;
}

/**
 * What the configuration of a layer on `parentId` begins with: its layers. `result` is where the
 * backing store says how opening went.
 */
export async function configAbove(
  snapshotsPath: string,
  parentId: number | null,
  result: string,
): Promise<EffectResult<ImageConfig>> {
  const nothing = { repoBlobUrl: '', lowers: [], upper: {}, resultFile: result };
  if (parentId === null) return { ok: true, value: nothing };
  const config = path.join(snapshotsPath, `${parentId}`, 'block', imageConfigName);
  const below = await readImageConfig(config);
  if (!below.ok) return below;
  const { repoBlobUrl, lowers } = below.value;
  return { ok: true, value: { ...nothing, repoBlobUrl, lowers } };
}

const configBytesMax = 16 * 1024 * 1024;

/** Reads a configuration that was written here, or by overlaybd's own snapshotter. */
export async function readImageConfig(file: string): Promise<EffectResult<ImageConfig>> {
  try {
    const text = await readFile(file, 'utf8');
    if (text.length > configBytesMax) throw new Error(`longer than ${configBytesMax} bytes`);
    const value = JSON.parse(text) as Partial<ImageConfig> | null;
    const lowers = value?.lowers;
    if (!Array.isArray(lowers)) throw new Error('it has no list of lower layers');
    const { repoBlobUrl = '', upper = {}, resultFile = '' } = value ?? {};
    return { ok: true, value: { repoBlobUrl, lowers: lowers as LowerLayer[], upper, resultFile } };
  } catch (error) {
    return failedAt('read-image-config', file, error);
  }
}

/**
 * Replaces a configuration in one step: a reader finds the old one or the new one, also after a
 * loss of power.
 */
export async function writeImageConfig(
  file: string,
  { repoBlobUrl, lowers, upper, resultFile }: ImageConfig,
): Promise<EffectResult<void>> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const text = JSON.stringify({ repoBlobUrl, lowers, upper, resultFile });
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const handle = await open(temporary, flags, 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await syncDirectory(path.dirname(file));
    return { ok: true, value: undefined };
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    return failedAt('write-image-config', file, error);
  }
}
