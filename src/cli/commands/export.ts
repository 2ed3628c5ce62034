// varve export FILE: the whole history; of a damaged log what lies before the damage. The file
// appears under its name only when nothing more will come.
import { unlinkSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { inspectDefinition } from '../../server/grpc/definitions.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { humanSize } from '../../history/text.ts';
import { onInterrupt } from '../process-events.ts';

type Write = (content: Uint8Array) => Promise<void>;

export async function run(
  { output, adminAddress }: CommandContext,
  input: { readonly arguments: readonly string[] },
): Promise<void> {
  const [file = ''] = input.arguments;
  const address = adminAddress();
  if (file === '-') {
    throwDamage(await exportTo(address, (content) => output.write(content)));
    return;
  }
  const exported = await exportToFile(address, file);
  const { sizeBytes, damage } = exported;
  const isWhole = damage === undefined;
  if (output.isJson) {
    await output.json({ format: 'varve-export', version: 1, file, sizeBytes, isWhole });
  } else {
    await output.line(`${file}: ${humanSize(sizeBytes)}${isWhole ? '' : ', up to the damage'}`);
  }
  throwDamage(exported);
}

interface Exported {
  readonly sizeBytes: number;
  /** What kept the rest from being written. */
  readonly damage: CliFailure | undefined;
}

function throwDamage({ damage }: Exported): void {
  if (damage !== undefined) throw damage;
}

async function exportTo(address: string, write: Write): Promise<Exported> {
  return withAdminClient(address, async (client) => {
    let sizeBytes = 0;
    try {
      for await (const { content } of client.answers(inspectDefinition.export, {})) {
        const bytes = content ?? new Uint8Array();
        sizeBytes += bytes.length;
        await write(bytes);
      }
    } catch (error) {
      const isDamaged = error instanceof CliFailure && error.exitCode === exitCodes.damaged;
      if (!isDamaged || sizeBytes === 0) throw error;
      return { sizeBytes, damage: error };
    }
    return { sizeBytes, damage: undefined };
  });
}

async function exportToFile(address: string, file: string): Promise<Exported> {
  const partial = `${file}.partial-${process.pid}`;
  const handle = await created(partial, file);
  const discard = (): void => unlinkSync(partial);
  const forget = onInterrupt(discard);
  try {
    const exported = await exportTo(address, async (content) => {
      await handle.writeFile(content);
    });
    await handle.sync();
    await handle.close();
    await rename(partial, file);
    await syncDirectory(dirname(file));
    return exported;
  } catch (error) {
    await handle.close().catch(() => undefined);
    discard();
    throw writeFailure(file, error);
  } finally {
    forget();
  }
}

async function created(partial: string, file: string): Promise<FileHandle> {
  try {
    // The history names every image and container: nobody else may read it.
    return await open(partial, 'wx', 0o600);
  } catch (error) {
    throw writeFailure(file, error);
  }
}

function writeFailure(file: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return new CliFailure(exitCodes.failure, `${file}: no such directory: make it first`, error);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new CliFailure(
        exitCodes.permission,
        `${file}: cannot be written (${code}): name a file in a directory that you may write to`,
        error,
      );
    case 'ENOSPC':
      return new CliFailure(
        exitCodes.failure,
        `${file}: the disk is full: make room, or export to another one`,
        error,
      );
    default:
      return error;
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
