// varve diff: what changed between two positions, by the daemon or in a file.
import { diffStates } from '../../history/diff.ts';
import type { DiffDocument } from '../../history/diff.ts';
import { stateDocument } from '../../history/state-document.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { foldFile } from '../history-file.ts';
import { diffLines } from '../render/report.ts';

interface Range {
  readonly from: number;
  readonly to?: number;
}

export async function run(
  { output, adminAddress }: CommandContext,
  input: Range & { readonly file?: string },
): Promise<void> {
  if (input.to !== undefined && input.to < input.from) {
    throw new CliFailure(
      exitCodes.usage,
      `--from ${input.from} is after --to ${input.to}: exchange them`,
    );
  }
  const diff =
    input.file === undefined
      ? await withAdminClient(adminAddress(), (client) =>
          client.document<DiffDocument>('diff', { fromSeq: input.from, toSeq: input.to ?? 0 }),
        )
      : await diffInFile(input.file, input);
  if (output.isJson) await output.json(diff);
  else await output.lines(diffLines(diff, output));
}

async function diffInFile(file: string, { from, to }: Range): Promise<DiffDocument> {
  const { states } = await foldFile(file, { positions: [from, to ?? 'end'] });
  const [before, after] = states;
  if (before === undefined || after === undefined) {
    throw new CliFailure(exitCodes.failure, `${file}: holds no state`);
  }
  return diffStates(
    stateDocument(before.checkpoint, before.timeUs),
    stateDocument(after.checkpoint, after.timeUs),
  );
}
