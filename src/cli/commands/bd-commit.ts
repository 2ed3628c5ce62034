// varve bd commit: writes the writable layer of a block device into a finished layer file.
import { resolve } from 'node:path';
import { humanSize } from '../../history/text.ts';
import { withBlockDaemon, type BlockOptions } from '../block-devices/daemon.ts';
import type { CommandContext } from '../command-context.ts';

interface Input extends BlockOptions {
  readonly algorithm?: string;
  readonly blockSize?: number;
  readonly tar?: boolean;
  readonly userTag?: string;
  readonly uuid?: string;
  readonly parentUuid?: string;
}

export async function run(context: CommandContext, input: Input): Promise<void> {
  const { output } = context;
  const [device = '', file = ''] = input.arguments;
  const committed = await withBlockDaemon(context, input, (client) =>
    client.request<{ readonly output: string; readonly sizeBytes: number }>('commit', {
      device,
      output: resolve(file),
      algorithm: input.algorithm,
      blockSizeBytes: input.blockSize,
      tar: input.tar === true,
      userTag: input.userTag,
      uuid: input.uuid,
      parentUuid: input.parentUuid,
    }),
  );
  if (output.isJson) await output.json({ format: 'varve-bd-commit', version: 1, ...committed });
  else await output.line(`${committed.output}: ${humanSize(committed.sizeBytes)}`);
}
