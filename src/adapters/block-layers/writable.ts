// Writable layers in the directories of snapshots: made before their device is first attached, and
// finished when their snapshot is committed.
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { setTimeout as rest } from 'node:timers/promises';
import type { EffectResult } from '../../engine/ports.ts';
import type { WritableLayer } from '../../machines/device/events.ts';
import { syncDirectory } from '../system/directories.ts';
import { failedAt } from './failure.ts';
import { isLeftMounted } from './file-system.ts';
import { configAbove, writeImageConfig } from './image-config.ts';
import { runLayerTool, type LayerTool } from './layer-tool.ts';
import { blockPlaces, type BlockPlaces } from './places.ts';

/** How long one that is busy is left alone before it is tried again. */
const busyRestMs = 100;

const done: EffectResult<void> = { ok: true, value: undefined };

/**
 * Makes the writable layer of a device and its configuration. The configuration is written last, so
 * where there is one all is there.
 */
export async function makeWritableLayer(
  snapshotsPath: string,
  { snapshotId, layer }: { readonly snapshotId: number; readonly layer: WritableLayer },
  tool: LayerTool,
): Promise<EffectResult<void>> {
  const places = blockPlaces(snapshotsPath, snapshotId);
  const { block, config, writableData, writableIndex } = places;
  if (await exists(config)) return done;
  try {
    await mkdir(block, { recursive: true, mode: 0o711 });
    for (const file of [writableData, writableIndex]) await rm(file, { force: true });
  } catch (error) {
    return failedAt('create-layer', block, error);
  }
  const below = await configAbove(snapshotsPath, layer.parentId, places.result);
  if (!below.ok) return below;
  const sparse = layer.layerType === 'sparse' ? ['-s'] : [];
  const size = `${layer.sizeGib ?? 0}`;
  const command = ['create', ...sparse, writableData, writableIndex, size];
  const created = await runLayerTool(tool, command, { step: 'create-layer', file: writableData });
  if (!created.ok) return created;
  const upper = { index: writableIndex, data: writableData };
  return writeImageConfig(config, { ...below.value, upper });
}

/**
 * Finishes the writable layer of a snapshot, whose device is gone. Sealing is what cannot be
 * undone; what did not come to be done after it is done by whoever calls again.
 */
export async function finishWritableLayer(
  snapshotsPath: string,
  { snapshotId, parentId }: { readonly snapshotId: number; readonly parentId: number | null },
  tool: LayerTool,
): Promise<EffectResult<void>> {
  const places = blockPlaces(snapshotsPath, snapshotId);
  const below = await configAbove(snapshotsPath, parentId, places.result);
  if (!below.ok) return below;
  if (!(await exists(places.sealed))) {
    const whole = await refuseLeftMounted(places, tool);
    if (!whole.ok) return whole;
    const sealed = await seal(places, tool);
    if (!sealed.ok) return sealed;
  }
  const lowers = [...below.value.lowers, { dir: places.layer }];
  const written = await writeImageConfig(places.config, { ...below.value, lowers });
  if (!written.ok) return written;
  try {
    await rm(places.writableIndex, { force: true });
  } catch (error) {
    return failedAt('seal-layer', places.writableIndex, error);
  }
  return done;
}

/** A layer whose file system was not unmounted lacks what was still to be written. */
async function refuseLeftMounted(
  { config }: BlockPlaces,
  tool: LayerTool,
): Promise<EffectResult<void>> {
  if (!(await isLeftMounted(config, tool))) return done;
  const message =
    'its file system was not unmounted when its device was lost: it is mended when the device is ' +
    'attached again; look at the snapshot, and commit it again';
  return { ok: false, failure: { step: 'seal-layer', code: 'EUCLEAN', message, path: config } };
}

async function seal(places: BlockPlaces, tool: LayerTool): Promise<EffectResult<void>> {
  const { writableData, sealed, layer, block } = places;
  const finished = await sealOnceFree(places, tool);
  if (!finished.ok) return finished;
  try {
    await rename(writableData, sealed);
    await syncDirectory(layer);
    await syncDirectory(block);
    return done;
  } catch (error) {
    return failedAt('seal-layer', sealed, error);
  }
}

/**
 * The command of a server that was killed may still work on the layer; it ends by itself, and what
 * it has done need not be done again.
 */
async function sealOnceFree(
  { writableData, writableIndex }: BlockPlaces,
  tool: LayerTool,
): Promise<EffectResult<string>> {
  const command = ['commit', '--seal', writableData, writableIndex];
  for (let waitedMs = 0; ; waitedMs += busyRestMs) {
    const sealed = await runLayerTool(tool, command, { step: 'seal-layer', file: writableData });
    const isBusy = !sealed.ok && sealed.failure.code === 'EBUSY';
    if (!isBusy || waitedMs >= tool.deadlineMs) return sealed;
    await rest(busyRestMs);
  }
}

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );
