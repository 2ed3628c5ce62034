// varve verify: folds everything again. By the daemon the fold is compared with its live state; of
// a file, with the state that the node had when it wrote it.
import type { VerifyDocument } from '../../history/verification.ts';
import { inspectDefinition } from '../../server/grpc/definitions.ts';
import { withAdminClient } from '../admin-client.ts';
import type { AdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { foldFile } from '../history-file.ts';
import { verifyLines } from '../render/report.ts';
import { Progress } from '../progress.ts';

export async function run(
  { output, adminAddress }: CommandContext,
  input: { readonly file?: string },
): Promise<void> {
  const result =
    input.file === undefined
      ? await withAdminClient(adminAddress(), verifyDaemon)
      : await verifyFile(input.file);
  if (output.isJson) await output.json(result);
  else await output.lines(verifyLines(result, output));
  if (result.damage.length > 0) {
    throw new CliFailure(
      exitCodes.damaged,
      'the log is damaged: stop varve serve and run varve repair',
    );
  }
  if (result.equal) return;
  throw new CliFailure(
    exitCodes.different,
    'the history does not fold to the recorded state: keep a varve export of it and report this',
  );
}

async function verifyDaemon(client: AdminClient): Promise<VerifyDocument> {
  const progress = new Progress('events folded');
  let result: VerifyDocument | undefined;
  try {
    for await (const answer of client.answers(inspectDefinition.verify, {})) {
      progress.show(answer.checkedSeq ?? 0, answer.lastSeq ?? 0);
      const json = answer.resultJson ?? '';
      if (json !== '') result = JSON.parse(json) as VerifyDocument;
    }
  } finally {
    progress.clear();
  }
  if (result !== undefined) return result;
  throw new CliFailure(exitCodes.failure, 'the daemon ended before its verification: try again');
}

async function verifyFile(file: string): Promise<VerifyDocument> {
  const { header, foldedEventCount, isAsRecorded } = await foldFile(file, { positions: ['end'] });
  const differences =
    isAsRecorded === false
      ? [{ path: '(state)', folded: 'another state', live: 'as recorded' }]
      : [];
  return {
    format: 'varve-verify',
    version: 1,
    equal: differences.length === 0,
    position: header.lastSeq,
    firstSeq: header.firstSeq,
    checkedEventCount: foldedEventCount,
    differences,
    differenceCount: differences.length,
    damage: [],
    lost: [],
  };
}
