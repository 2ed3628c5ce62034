// varve bd close: lets go of a block device, and names who is in the way.
import { printable } from '../../history/text.ts';
import { inUseDetails, withBlockDaemon, type BlockOptions } from '../block-devices/daemon.ts';
import type { DeviceUser } from '../block-devices/documents.ts';
import type { CommandContext } from '../command-context.ts';

interface Closed {
  readonly gone: boolean;
  readonly users: readonly DeviceUser[];
}

const document = { format: 'varve-bd-close', version: 1 };

interface Input extends BlockOptions {
  readonly mode?: string;
  readonly patience?: number;
}

export async function run(context: CommandContext, input: Input): Promise<void> {
  const { output } = context;
  const [device = ''] = input.arguments;
  const { mode, patience } = input;
  const closed = await withBlockDaemon(context, input, async (client) => {
    const request = { device, mode, patienceMs: patience };
    try {
      return await client.request<Closed>('close', request);
    } catch (error) {
      // Who is in the way is an answer, too.
      const details = inUseDetails(error);
      if (output.isJson && details !== undefined) {
        await output.json({ ...document, device, gone: false, users: [], ...details });
      }
      throw error;
    }
  });
  if (output.isJson) {
    await output.json({ ...document, ...closed });
  } else if (closed.gone) {
    await output.line(`${device} is closed.`);
  } else if (closed.users.length === 0) {
    await output.line(`${device} goes away once everything that was written to it is flushed.`);
  } else {
    const what = mode === 'abort' ? 'fails its users from now on, and' : 'still works, and';
    await output.line(`${device} ${what} goes away with the last of them:`);
    await output.lines(closed.users.map(({ text }) => `  ${printable(text)}`));
  }
}
