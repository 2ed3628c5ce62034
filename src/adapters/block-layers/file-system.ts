// Which file system is on the device that an image makes.
import type { EffectResult } from '../../engine/ports.ts';
import { runLayerTool, type LayerTool } from './layer-tool.ts';

// mount(2) knows some by another name than the field does.
const mountTypes: Readonly<Record<string, string>> = { ntfs: 'ntfs3' };

/** The file system, as mount(2) takes it, from its superblock; `config` is the image's. */
export async function fileSystemOf(config: string, tool: LayerTool): Promise<EffectResult<string>> {
  const command = ['file-system', '--json', config];
  const asked = await runLayerTool(tool, command, { step: 'read-layer', file: config });
  if (!asked.ok) return asked;
  const { fileSystem } = JSON.parse(asked.value) as { readonly fileSystem: string };
  return { ok: true, value: mountTypes[fileSystem] ?? fileSystem };
}

/** Whether it was unmounted by whoever wrote it last; also where that cannot be told. */
export async function wasUnmounted(config: string, tool: LayerTool): Promise<boolean> {
  const command = ['file-system', '--json', config];
  const asked = await runLayerTool(tool, command, { step: 'read-layer', file: config });
  if (!asked.ok) return true;
  return (
    (JSON.parse(asked.value) as { readonly wasUnmounted: boolean | null }).wasUnmounted ?? true
  );
}
