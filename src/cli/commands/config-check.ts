// varve config check FILE: every problem of a file at once.
import { loadConfiguration } from '../../config/load.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';

export async function run(
  { output }: CommandContext,
  input: { readonly arguments: readonly string[] },
): Promise<void> {
  const [file = ''] = input.arguments;
  const loaded = loadConfiguration({ configPath: file });
  const problems = loaded.ok ? [] : loaded.problems;
  const document = { format: 'varve-check', version: 1, file, isValid: loaded.ok, problems };
  if (output.isJson) await output.json(document);
  else if (loaded.ok) await output.line(`${file}: valid`);
  if (!loaded.ok) throw new CliFailure(exitCodes.configuration, problems.join('\n'));
}
