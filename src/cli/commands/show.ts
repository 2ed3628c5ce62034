// varve show KEY: one snapshot with everything around it.
import type { SnapshotDocument } from '../../history/snapshot-document.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { snapshotLines } from '../render/snapshot.ts';

export async function run(
  { output, adminAddress }: CommandContext,
  input: { readonly arguments: readonly string[] },
): Promise<void> {
  const [key = ''] = input.arguments;
  const snapshot = await withAdminClient(adminAddress(), (client) =>
    client.document<SnapshotDocument>('snapshot', { key }),
  );
  if (output.isJson) await output.json(snapshot);
  else await output.lines(snapshotLines(snapshot, output));
}
