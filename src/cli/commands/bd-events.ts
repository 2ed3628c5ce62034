// varve bd events: what happens to block devices, as it happens, until Ctrl-C.
import { withBlockDaemon, type BlockOptions } from '../block-devices/daemon.ts';
import type { CommandContext } from '../command-context.ts';
import { blockEventLine } from '../render/block-device.ts';

export async function run(context: CommandContext, input: BlockOptions): Promise<void> {
  const { output } = context;
  await withBlockDaemon(context, input, async (client) => {
    for await (const event of client.events()) {
      await output.line(output.isJson ? JSON.stringify(event) : blockEventLine(event, output));
    }
  });
}
