// varve config default: a configuration file with every key at its default.
import { defaultConfigurationFile } from '../../config/default-file.ts';
import type { CommandContext } from '../command-context.ts';

export async function run({ output }: CommandContext): Promise<void> {
  const file = defaultConfigurationFile();
  if (output.isJson) await output.json(file);
  else await output.line(JSON.stringify(file, null, 2));
}
