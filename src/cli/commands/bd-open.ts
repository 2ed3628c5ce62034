// varve bd open: opens an image as a block device.
import { resolve } from 'node:path';
import { withBlockDaemon, type BlockOptions } from '../block-devices/daemon.ts';
import type { CommandContext } from '../command-context.ts';

interface Input extends BlockOptions {
  readonly device?: string;
  readonly readOnly?: boolean;
  readonly transport?: string;
  readonly deadline?: number;
}

export async function run(context: CommandContext, input: Input): Promise<void> {
  const { output } = context;
  const [config = ''] = input.arguments;
  const opened = await withBlockDaemon(context, input, (client) =>
    client.request<{ readonly device: string; readonly path: string }>('open', {
      config: resolve(config),
      device: input.device,
      readOnly: input.readOnly === true,
      transport: input.transport,
      deadlineMs: input.deadline,
    }),
  );
  if (output.isJson) await output.json({ format: 'varve-bd-open', version: 1, ...opened });
  else await output.line(`${opened.path}  ${opened.device}`);
}
