// varve bd seal: finishes the writable layer of a block device where it lies.
import { withBlockDaemon, type BlockOptions } from '../block-devices/daemon.ts';
import type { CommandContext } from '../command-context.ts';

export async function run(context: CommandContext, input: BlockOptions): Promise<void> {
  const { output } = context;
  const [device = ''] = input.arguments;
  const sealed = await withBlockDaemon(context, input, (client) =>
    client.request<object>('seal', { device }),
  );
  if (output.isJson) await output.json({ format: 'varve-bd-seal', version: 1, ...sealed });
  else await output.line(`${device} is sealed: writes to it fail from now on.`);
}
