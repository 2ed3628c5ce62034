// varve completion SHELL: the script that makes a shell complete varve's commands and options.
import type { CommandContext } from '../command-context.ts';
import { completionScript, shells } from '../completion.ts';
import type { Shell } from '../completion.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { varveProgram } from '../program.ts';

export async function run(
  { output }: CommandContext,
  input: { readonly arguments: readonly string[] },
): Promise<void> {
  const [shell = ''] = input.arguments;
  if (!(shells as readonly string[]).includes(shell)) {
    throw new CliFailure(
      exitCodes.usage,
      `there is no completion for ${JSON.stringify(shell)}: name one of ${shells.join(', ')}`,
    );
  }
  await output.write(completionScript(varveProgram(), shell as Shell));
}
