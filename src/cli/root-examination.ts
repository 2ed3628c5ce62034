// The examination of a root for varve fsck and varve doctor.
import { realpathSync } from 'node:fs';
import type { Configuration } from '../config/configuration.ts';
import type { FsckDocument } from '../server/fsck-document.ts';
import { version } from '../server/version.ts';
import { withAdminClient } from './admin-client.ts';
import { CliFailure, exitCodes } from './exit-codes.ts';
import { refuseForeignRoot } from './existing-root.ts';

/** Examines a root: itself if nobody holds it, else by asking whoever serves it. */
export async function examined(
  configuration: Configuration,
  applies: boolean,
): Promise<FsckDocument> {
  refuseForeignRoot(configuration.root);
  const root = realpathSync(configuration.root);
  const { composeExamination } = await import('../server/compose.ts');
  const { examineRoot } = await import('../server/fsck.ts');
  try {
    const ports = await composeExamination({ ...configuration, root }, version);
    try {
      return await examineRoot({ configuration, ports, applies });
    } finally {
      await ports.close();
    }
  } catch (error) {
    const { name, message } = error as Error;
    if (name === 'StartRefused' || name === 'RootRefused') {
      throw new CliFailure(exitCodes.failure, message, error);
    }
    if (name === 'RootDamaged') throw new CliFailure(exitCodes.damaged, message, error);
    if (name !== 'RootHeld') throw error;
    if (applies) {
      const why = 'varve serve puts things right when it starts: restart it, or stop it first';
      throw new CliFailure(exitCodes.failure, `${message.replace(/: .*/, '')}; ${why}`, error);
    }
    return askServer(configuration, root, message);
  }
}

async function askServer(
  { adminAddress }: Configuration,
  root: string,
  held: string,
): Promise<FsckDocument> {
  const document = await withAdminClient(adminAddress, (client) =>
    client.document<FsckDocument>('fsck'),
  ).catch((error: unknown) => {
    if (!(error instanceof CliFailure)) throw error;
    const { exitCode, message } = error;
    throw new CliFailure(exitCode, `${held}, or ask it: ${message}`, error);
  });
  if (document.root === root) return document;
  throw new CliFailure(
    exitCodes.failure,
    `${held}; the daemon at ${adminAddress} serves ${document.root}: name the right one with --address`,
  );
}
