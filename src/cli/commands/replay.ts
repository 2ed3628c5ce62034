// varve replay: the node's whole state as it was at a position, from the daemon or from a file.
import { stateDocument } from '../../history/state-document.ts';
import type { StateDocument } from '../../history/state-document.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { foldFile } from '../history-file.ts';
import { stateLines } from '../render/state.ts';

export async function run(
  { output, adminAddress }: CommandContext,
  input: { readonly at?: number; readonly file?: string },
): Promise<void> {
  const state =
    input.file === undefined
      ? await stateOfDaemon(adminAddress(), input.at)
      : await stateOfFile(input.file, input.at);
  if (output.isJson) await output.json(state);
  else await output.lines(stateLines(state, output));
}

async function stateOfDaemon(address: string, at: number | undefined): Promise<StateDocument> {
  return withAdminClient(address, (client) =>
    client.document<StateDocument>('state', { atSeq: at ?? 0 }),
  );
}

async function stateOfFile(file: string, at: number | undefined): Promise<StateDocument> {
  const { states } = await foldFile(file, { positions: [at ?? 'end'] });
  const [state] = states;
  if (state === undefined) throw new CliFailure(exitCodes.failure, `${file}: holds no state`);
  return stateDocument(state.checkpoint, state.timeUs);
}
