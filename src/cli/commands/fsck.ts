// varve fsck: what a start would put right on a root, and with --apply does. Exit code 0 if there
// is nothing, or nothing is left.
import { loadConfiguration } from '../../config/load.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { fsckLines } from '../render/fsck.ts';
import { examined } from '../root-examination.ts';

interface Input {
  readonly root?: string;
  readonly config?: string;
  readonly address?: string;
  readonly adminAddress?: string;
  readonly apply?: boolean;
}

export async function run({ output, environment }: CommandContext, input: Input): Promise<void> {
  const { root, address, adminAddress } = input;
  const loaded = loadConfiguration({
    flags: { root, address, adminAddress },
    configPath: input.config,
    environment,
  });
  if (!loaded.ok) throw new CliFailure(exitCodes.configuration, loaded.problems.join('\n'));
  const document = await examined(loaded.configuration, input.apply === true);
  if (output.isJson) await output.json(document);
  else await output.lines(fsckLines(document, output));
  const left = (document.remaining ?? document.findings).filter(({ isFault }) => isFault);
  if (left.length > 0) process.exitCode = exitCodes.failure;
}
