// varve bd ls: the block devices that are open.
import { withBlockDaemon, type BlockOptions } from '../block-devices/daemon.ts';
import type { BlockDevice } from '../block-devices/documents.ts';
import type { CommandContext } from '../command-context.ts';
import { deviceTable } from '../render/block-device.ts';

export async function run(context: CommandContext, input: BlockOptions): Promise<void> {
  const { output } = context;
  const list = await withBlockDaemon(context, input, (client) =>
    client.request<{ readonly devices: readonly BlockDevice[] }>('list'),
  );
  if (output.isJson) await output.json({ format: 'varve-bd-devices', version: 1, ...list });
  else await output.lines(deviceTable(list.devices, output));
}
