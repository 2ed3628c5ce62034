// varve tree: the layers, children below their parents.
import { treeLines } from '../../history/tree.ts';
import type { CommandContext } from '../command-context.ts';
import { snapshotTree } from '../render/state.ts';
import { currentState } from '../state-source.ts';

export async function run(
  context: CommandContext,
  input: { readonly all?: boolean },
): Promise<void> {
  const { output } = context;
  const state = await currentState(context, input.all === true);
  if (!output.isJson) {
    await output.lines(snapshotTree(state, output));
    return;
  }
  const { position, time } = state;
  // Flat, since a chain may be deeper than a JSON reader likes: parents first, with their depth.
  const snapshots = treeLines(state).map(({ depth, snapshot }) => ({ depth, ...snapshot }));
  await output.json({ format: 'varve-tree', version: 1, position, time, snapshots });
}
