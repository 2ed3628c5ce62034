// varve repair: rebuilds a damaged log while the daemon is down.
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';

export async function run(
  _context: CommandContext,
  _input: { readonly root: string },
): Promise<void> {
  throw new CliFailure(exitCodes.failure, 'repair is not built into this version');
}
