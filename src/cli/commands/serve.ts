// varve serve: loads the configuration and runs the service until it is told to stop.
import { loadConfiguration } from '../../config/load.ts';
import type { ConfigurationFlags } from '../../config/load.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { leaveProcess } from '../process-events.ts';

export async function run(
  { environment }: CommandContext,
  input: ConfigurationFlags & { readonly config?: string },
): Promise<void> {
  const { root, address, adminAddress, logLevel } = input;
  const loaded = loadConfiguration({
    flags: { root, address, adminAddress, logLevel },
    configPath: input.config,
    environment,
  });
  if (!loaded.ok) throw new CliFailure(exitCodes.configuration, loaded.problems.join('\n'));
  leaveProcess();
  const { serve } = await import('../../server/serve.ts');
  await serve(loaded.configuration, loaded.origins);
}
