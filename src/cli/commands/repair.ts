// varve repair: rebuilds a damaged log while the daemon is down, and says what was saved and lost.
import { resolve } from 'node:path';
import type { RepairResult } from '../../adapters/level/repair.ts';
import { crashPoints } from '../../adapters/system/crash-points.ts';
import { printable } from '../../history/text.ts';
import type { Checkpoint } from '../../machines/checkpoint.ts';
import { GapFold } from '../../machines/gap-fold.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { refuseForeignRoot } from '../existing-root.ts';
import type { Output } from '../output.ts';

export async function run(
  { output }: CommandContext,
  input: { readonly root: string },
): Promise<void> {
  const root = resolve(input.root);
  refuseForeignRoot(root);
  const { repairLog } = await import('../../adapters/level/repair.ts');
  const result = await repaired(root, repairLog);
  if (output.isJson) await output.json({ format: 'varve-repair', version: 1, root, ...result });
  if (result.status === 'refused') {
    throw new CliFailure(exitCodes.failure, `${result.reason}: ${result.next}`);
  }
  if (!output.isJson) await output.lines(repairLines(result, output));
}

async function repaired(
  root: string,
  repairLog: typeof import('../../adapters/level/repair.ts').repairLog,
): Promise<RepairResult> {
  // What matters is in the result; a log of steps would hide it.
  const quiet = (): void => undefined;
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  try {
    const startFold = (base?: Checkpoint): GapFold => new GapFold(base);
    return await repairLog({ root, logger, startFold, crashPoint: crashPoints(process.env) });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    throw new CliFailure(exitCodes.permission, `${message}: run this as root`, error);
  }
}

function repairLines(
  result: Exclude<RepairResult, { status: 'refused' }>,
  output: Output,
): readonly string[] {
  const notes = result.notes.map((note) => {
    const text = printable(note);
    return note.startsWith('Lost:') ? output.styled('red', text) : text;
  });
  return result.status === 'sound' ? notes : [...notes, 'Start varve serve again.'];
}
