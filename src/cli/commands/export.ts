// varve export FILE: the whole history; of a damaged log what lies before the damage. The file
// appears under its name only when nothing more will come; what is no file (a device, a pipe) is
// written as it is.
import { closeSync, constants, fstatSync, openSync, rmSync } from 'node:fs';
import { open, readlink, realpath, rename, stat } from 'node:fs/promises';
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
  if (file === '') throw new CliFailure(exitCodes.usage, 'name a file to write, or - for stdout');
  const address = adminAddress();
  const target = file === '-' ? 'output' : await targetOf(file);
  if (target === 'output') {
    throwDamage(await exportTo(address, (content) => output.write(content)));
    return;
  }
  const exported = target.isFile
    ? await exportToFile(address, target.path)
    : await exportThrough(address, target.path);
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

interface Target {
  readonly path: string;
  /** Whether a file may take its place. */
  readonly isFile: boolean;
}

/** What a name leads to: a link leads to its file, and what is no file must not be replaced. */
async function targetOf(file: string): Promise<Target | 'output'> {
  try {
    const found = await stat(file);
    const own = fstatSync(process.stdout.fd);
    // `/dev/stdout` may be a socket, which cannot be opened.
    if (found.dev === own.dev && found.ino === own.ino) return 'output';
    if (found.isDirectory()) {
      throw new CliFailure(exitCodes.failure, `${file}: is a directory: name a file in it`);
    }
    return found.isFile()
      ? { path: await realpath(file), isFile: true }
      : { path: file, isFile: false };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw writeFailure(file, error);
    const linked = await readlink(file).catch(() => undefined);
    if (linked === undefined) return { path: file, isFile: true };
    throw new CliFailure(
      exitCodes.failure,
      `${file}: is a link to ${linked}, which is not there: name that file itself`,
      error,
    );
  }
}

async function exportThrough(address: string, path: string): Promise<Exported> {
  try {
    // Opening a pipe waits for its reader, and nothing could interrupt that; this fails instead.
    const probe = await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      await using handle = await open(path, constants.O_WRONLY);
      return await exportTo(address, (content) => handle.writeFile(content));
    } finally {
      await probe.close();
    }
  } catch (error) {
    throw writeFailure(path, error);
  }
}

async function exportToFile(address: string, file: string): Promise<Exported> {
  const partial = `${file}.partial-${process.pid}`;
  create(partial, file);
  const discard = (): void => rmSync(partial, { force: true });
  const forget = onInterrupt(discard);
  try {
    const exported = await writeExport(address, partial);
    await rename(partial, file);
    await syncDirectory(dirname(file));
    return exported;
  } catch (error) {
    discard();
    throw writeFailure(file, error);
  } finally {
    forget();
  }
}

/** Makes the file before anything else happens, so that no signal finds it without its cleanup. */
function create(partial: string, file: string): void {
  try {
    // The history names every image and container: nobody else may read it.
    closeSync(openSync(partial, 'wx', 0o600));
  } catch (error) {
    throw writeFailure(file, error);
  }
}

async function writeExport(address: string, path: string): Promise<Exported> {
  await using handle = await open(path, 'w');
  const exported = await exportTo(address, (content) => handle.writeFile(content));
  await handle.sync();
  return exported;
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
    case 'ENXIO':
      return new CliFailure(
        exitCodes.failure,
        `${file}: nobody reads there: start the reader first, or name a file`,
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
