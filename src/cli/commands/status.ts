// varve status: how the node is doing. Exit code 0 only while it serves.
import type { StatusDocument } from '../../server/status-document.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { statusLines } from '../render/report.ts';

export async function run({ output, adminAddress }: CommandContext): Promise<void> {
  const status = await withAdminClient(adminAddress(), (client) =>
    client.document<StatusDocument>('status'),
  );
  if (output.isJson) await output.json(status);
  else await output.lines(statusLines(status, output));
  if (status.condition === 'serving') return;
  const exitCode = status.condition === 'damaged' ? exitCodes.damaged : exitCodes.unreachable;
  throw new CliFailure(exitCode, status.problem ?? `varve is ${status.condition}: try again`);
}
