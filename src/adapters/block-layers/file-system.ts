// Which file system is on the device that an image makes.
import type { EffectResult } from '../../engine/ports.ts';
import { runLayerTool, type LayerTool } from './layer-tool.ts';

// mount(2) knows some by another name than the field does.
const mountTypes: Readonly<Record<string, string>> = { ntfs: 'ntfs3' };

/** What `varve-layer file-system --json` prints. */
interface Superblock {
  readonly fileSystem: string;
  /** By whoever wrote it last; null where it cannot be told. */
  readonly wasUnmounted: boolean | null;
}

async function superblockOf(config: string, tool: LayerTool): Promise<EffectResult<Superblock>> {
  const command = ['file-system', '--json', config];
  const asked = await runLayerTool(tool, command, { step: 'read-layer', file: config });
  return asked.ok ? { ok: true, value: JSON.parse(asked.value) as Superblock } : asked;
}

/** The file system, as mount(2) takes it, from its superblock; `config` is the image's. */
export async function fileSystemOf(config: string, tool: LayerTool): Promise<EffectResult<string>> {
  const found = await superblockOf(config, tool);
  if (!found.ok) return found;
  const { fileSystem } = found.value;
  return { ok: true, value: mountTypes[fileSystem] ?? fileSystem };
}

/**
 * Whether its superblock says that it was not unmounted. One that cannot be read says nothing: the
 * layer may be sealed already, or hold what only its user knows.
 */
export async function isLeftMounted(config: string, tool: LayerTool): Promise<boolean> {
  const found = await superblockOf(config, tool);
  return found.ok && found.value.wasUnmounted === false;
}
