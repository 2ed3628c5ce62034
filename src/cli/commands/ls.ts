// varve ls: the snapshots as a table, or as a state document.
import type { CommandContext } from '../command-context.ts';
import { snapshotTable } from '../render/state.ts';
import { currentState } from '../state-source.ts';

export async function run(
  context: CommandContext,
  input: { readonly all?: boolean },
): Promise<void> {
  const { output } = context;
  const state = await currentState(context, input.all === true);
  if (output.isJson) await output.json(state);
  else await output.lines(snapshotTable(state, output));
}
