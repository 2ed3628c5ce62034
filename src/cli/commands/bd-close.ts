// varve bd close: lets go of a block device, and names who is in the way.
import { printable } from '../../history/text.ts';
import { withBlockDaemon, type BlockOptions } from '../block-devices/daemon.ts';
import type { DeviceUser } from '../block-devices/documents.ts';
import type { CommandContext } from '../command-context.ts';

interface Input extends BlockOptions {
  readonly mode?: string;
  readonly patience?: number;
}

export async function run(context: CommandContext, input: Input): Promise<void> {
  const { output } = context;
  const [device = ''] = input.arguments;
  const closed = await withBlockDaemon(context, input, (client) =>
    client.request<{ readonly gone: boolean; readonly users: readonly DeviceUser[] }>('close', {
      device,
      mode: input.mode,
      patienceMs: input.patience,
    }),
  );
  if (output.isJson) {
    await output.json({ format: 'varve-bd-close', version: 1, ...closed });
  } else if (closed.gone) {
    await output.line(`${device} is closed.`);
  } else if (closed.users.length === 0) {
    await output.line(`${device} goes away once everything that was written to it is flushed.`);
  } else {
    await output.line(`${device} goes away with its last user; it is still in use:`);
    await output.lines(closed.users.map(({ text }) => `  ${printable(text)}`));
  }
}
