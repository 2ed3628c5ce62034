// varve bd resize: gives a writable block device another size.
import { humanSize } from '../../history/text.ts';
import { withBlockDaemon, type BlockOptions } from '../block-devices/daemon.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';

const units: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** A size in bytes: `10737418240`, `10G`, `512M`. */
function sizeOf(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+)([KMGT]?)$/.exec(text) ?? [];
  const sizeBytes = Number(digits) * (units[unit] ?? 0);
  if (digits === '' || !Number.isSafeInteger(sizeBytes)) {
    throw new CliFailure(
      exitCodes.usage,
      `${text} is no size: give bytes, or a number with K, M, G or T, such as 10G`,
    );
  }
  return sizeBytes;
}

export async function run(context: CommandContext, input: BlockOptions): Promise<void> {
  const { output } = context;
  const [device = '', size = ''] = input.arguments;
  const sizeBytes = sizeOf(size);
  const resized = await withBlockDaemon(context, input, (client) =>
    client.request<object>('resize', { device, sizeBytes }),
  );
  if (output.isJson) await output.json({ format: 'varve-bd-resize', version: 1, ...resized });
  else
    await output.line(`${device} has ${humanSize(sizeBytes)} now; its file system keeps its own.`);
}
