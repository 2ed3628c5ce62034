// varve config dump: the effective values and their origins, of the daemon or of a file.
import { loadConfiguration } from '../../config/load.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import type { ConfigurationDocument } from '../configuration-document.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { configurationLines } from '../render/report.ts';

export async function run(
  { output, adminAddress, environment }: CommandContext,
  input: { readonly config?: string },
): Promise<void> {
  const document =
    input.config === undefined
      ? await withAdminClient(adminAddress(), (client) =>
          client.document<ConfigurationDocument>('configuration'),
        )
      : documentOfFile(input.config, environment);
  if (output.isJson) await output.json(document);
  else await output.lines(configurationLines(document, output));
}

function documentOfFile(
  configPath: string,
  environment: CommandContext['environment'],
): ConfigurationDocument {
  const loaded = loadConfiguration({ configPath, environment });
  if (!loaded.ok) throw new CliFailure(exitCodes.configuration, loaded.problems.join('\n'));
  const { configuration, origins } = loaded;
  return { format: 'varve-configuration', version: 1, configuration, origins };
}
