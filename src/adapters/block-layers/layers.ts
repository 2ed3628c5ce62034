// Block layers in the directories of snapshots: recognised, given the configuration of their
// device, and asked for what is on it.
import { access, mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { BlockLayers, EffectResult } from '../../engine/ports.ts';
import { failedAt } from './failure.ts';
import { fileSystemOf } from './file-system.ts';
import { isBlockLayer } from './identify.ts';
import { configAbove, writeImageConfig, type ImageConfig } from './image-config.ts';
import type { LayerTool } from './layer-tool.ts';
import { blockPlaces } from './places.ts';
import { finishWritableLayer } from './writable.ts';

export interface BlockLayersOptions {
  /** Absolute path of `<root>/snapshots`. */
  readonly snapshotsPath: string;
  readonly tool: LayerTool;
}

export function blockLayers({ snapshotsPath, tool }: BlockLayersOptions): BlockLayers {
  return {
    async examine(snapshotId, parentId) {
      const { layer, layerTar, config, result } = blockPlaces(snapshotsPath, snapshotId);
      const possible = await refuseLayerTar(layerTar);
      if (!possible.ok) return possible;
      const identified = await isBlockLayer(layer);
      if (!identified.ok) return identified;
      if (!identified.value) return { ok: true, value: null };
      const below = await configAbove(snapshotsPath, parentId, result);
      if (!below.ok) return below;
      const lowers = [...below.value.lowers, { dir: layer }];
      const written = await writeConfig(config, { ...below.value, lowers });
      if (!written.ok) return written;
      const found = await fileSystemOf(config, tool);
      if (!found.ok) return found;
      return { ok: true, value: { fileSystem: found.value, layerFile: 'overlaybd.commit' } };
    },
    // What reads registries is to come.
    canReadRemote: false,
    async describe(snapshotId, parentId, { repoBlobUrl, digest, sizeBytes }) {
      const { layer, config, result } = blockPlaces(snapshotsPath, snapshotId);
      const below = await configAbove(snapshotsPath, parentId, result);
      if (!below.ok) return below;
      const lower = { digest, size: sizeBytes, dir: layer };
      const lowers = [...below.value.lowers, lower];
      const described = await writeConfig(config, { ...below.value, repoBlobUrl, lowers });
      if (!described.ok) return described;
      const found = await fileSystemOf(config, tool);
      return found.ok ? { ok: true, value: { fileSystem: found.value, layerFile: null } } : found;
    },
    finish: (snapshotId, parentId) =>
      finishWritableLayer(snapshotsPath, { snapshotId, parentId }, tool),
  };
}

async function writeConfig(file: string, config: ImageConfig): Promise<EffectResult<void>> {
  const folder = path.dirname(file);
  try {
    await mkdir(folder, { recursive: true, mode: 0o711 });
  } catch (error) {
    return failedAt('write-image-config', folder, error);
  }
  return writeImageConfig(file, config);
}

/** A layer that somebody left for conversion would otherwise be taken for an empty one. */
async function refuseLayerTar(layerTar: string): Promise<EffectResult<void>> {
  try {
    await access(layerTar);
  } catch {
    return { ok: true, value: undefined };
  }
  const message = 'layer.tar beside a layer: this version does not convert layers';
  return {
    ok: false,
    failure: { step: 'identify-layer', code: 'ENOTSUP', message, path: layerTar },
  };
}
