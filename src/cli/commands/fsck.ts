// varve fsck: what a start would put right on a root, and with --apply does. Exit code 0 if there
// is nothing, or nothing is left.
import { realpathSync } from 'node:fs';
import { loadConfiguration } from '../../config/load.ts';
import type { Configuration } from '../../config/configuration.ts';
import type { FsckDocument } from '../../server/fsck-document.ts';
import { version } from '../../server/version.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { refuseForeignRoot } from '../existing-root.ts';
import { fsckLines } from '../render/fsck.ts';

interface Input {
  readonly root?: string;
  readonly config?: string;
  readonly address?: string;
  readonly adminAddress?: string;
  readonly apply?: boolean;
}

export async function run({ output, environment }: CommandContext, input: Input): Promise<void> {
  const { root, address, adminAddress } = input;
  const loaded = loadConfiguration({
    flags: { root, address, adminAddress },
    configPath: input.config,
    environment,
  });
  if (!loaded.ok) throw new CliFailure(exitCodes.configuration, loaded.problems.join('\n'));
  const document = await examined(loaded.configuration, input.apply === true);
  if (output.isJson) await output.json(document);
  else await output.lines(fsckLines(document, output));
  const left = (document.remaining ?? document.findings).filter(({ isFault }) => isFault);
  if (left.length > 0) process.exitCode = exitCodes.failure;
}

/** By the root itself if nobody holds it, else by whoever serves it. */
async function examined(configuration: Configuration, applies: boolean): Promise<FsckDocument> {
  refuseForeignRoot(configuration.root);
  const root = realpathSync(configuration.root);
  const { composeExamination } = await import('../../server/compose.ts');
  const { examineRoot } = await import('../../server/fsck.ts');
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
