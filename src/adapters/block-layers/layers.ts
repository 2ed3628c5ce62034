// Block layers in the directories of snapshots: recognised, given the configuration of their
// device, and asked for what is on it.
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { BlockLayers, EffectResult } from '../../engine/ports.ts';
import { failedAt } from './failure.ts';
import { isBlockLayer } from './identify.ts';
import {
  imageConfigName,
  readImageConfig,
  writeImageConfig,
  type ImageConfig,
} from './image-config.ts';

export interface BlockLayersOptions {
  /** Absolute path of `<root>/snapshots`. */
  readonly snapshotsPath: string;
  /** Path of varve-layer, which reads layers: their bytes are nobody's whom this process trusts. */
  readonly layerProgram: string;
  /** How long it may take. */
  readonly deadlineMs: number;
}

/** overlaybd's name of the file in which it says how opening went. */
const resultFileName = 'init-debug.log';

const noLayers: ImageConfig = { repoBlobUrl: '', lowers: [], upper: {}, resultFile: '' };

export function blockLayers(options: BlockLayersOptions): BlockLayers {
  const { snapshotsPath } = options;
  const directoryOf = (snapshotId: number): string => path.join(snapshotsPath, `${snapshotId}`);
  const configOf = (snapshotId: number): string =>
    path.join(directoryOf(snapshotId), 'block', imageConfigName);
  return {
    async examine(snapshotId, parentId) {
      const layer = path.join(directoryOf(snapshotId), 'fs');
      const identified = await isBlockLayer(layer);
      if (!identified.ok) return identified;
      if (!identified.value) return { ok: true, value: null };
      const below: EffectResult<ImageConfig> =
        parentId === null
          ? { ok: true, value: noLayers }
          : await readImageConfig(configOf(parentId));
      if (!below.ok) return below;
      const config = configOf(snapshotId);
      const written = await writeConfig(config, {
        repoBlobUrl: below.value.repoBlobUrl,
        lowers: [...below.value.lowers, { dir: layer }],
        upper: {},
        resultFile: path.join(path.dirname(config), resultFileName),
      });
      return written.ok ? fileSystemOf(config, options) : written;
    },
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

function fileSystemOf(
  config: string,
  { layerProgram, deadlineMs }: BlockLayersOptions,
): Promise<EffectResult<{ readonly fileSystem: string }>> {
  const args = ['file-system', '--json', config];
  const options = { timeout: deadlineMs, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(layerProgram, args, options, (error, stdout, stderr) => {
      if (error === null) {
        resolve({ ok: true, value: { fileSystem: fileSystemIn(stdout) } });
        return;
      }
      const { killed = false, code } = error;
      const message = stderr.trim().replace(/^varve-layer: /, '') || error.message;
      const name = killed ? 'ETIMEDOUT' : typeof code === 'string' ? code : 'EIO';
      resolve({ ok: false, failure: { step: 'read-layer', code: name, message, path: config } });
    });
  });
}

const fileSystemIn = (json: string): string =>
  (JSON.parse(json) as { readonly fileSystem: string }).fileSystem;
