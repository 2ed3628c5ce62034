// The place of a unix socket, before it is bound: its directory exists (0700 if we make it),
// what is left of a dead server is removed, a live server and anything that is no socket are
// left alone.
import { lstat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import type { ServerPorts } from './ports.ts';

/** The socket cannot be opened; the message says why and what to do. */
export class SocketRefused extends Error {
  override readonly name = 'SocketRefused';
}

/** sun_path's size without the final NUL. */
const socketPathBytesMax = 107;

/** How long a server that lives may take to accept. */
const connectTimeoutMs = 2_000;

/** Makes `socketPath` free to be bound. */
export async function prepareSocketPath(
  socketPath: string,
  { makeDirectory }: Pick<ServerPorts, 'makeDirectory'>,
): Promise<void> {
  const length = Buffer.byteLength(socketPath);
  if (length > socketPathBytesMax) {
    throw new SocketRefused(
      `the socket path ${socketPath} has ${length} bytes; ` +
        `the kernel takes ${socketPathBytesMax}: ` +
        'choose a shorter one',
    );
  }
  const directory = path.dirname(socketPath);
  try {
    await makeDirectory(directory);
  } catch (error) {
    throw new SocketRefused(
      `the directory ${directory} of the socket cannot be made (${(error as Error).message}): ` +
        'choose another address',
    );
  }
  await removeStale(socketPath);
}

async function removeStale(socketPath: string): Promise<void> {
  const found = await lstat(socketPath).catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw new SocketRefused(
      `the socket ${socketPath} cannot be looked at: ${(error as Error).message}`,
    );
  });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new SocketRefused(
      `${socketPath} exists and is no socket: move it away or choose another address`,
    );
  }
  const code = await refuseIfAnswered(socketPath);
  if (code !== 'ECONNREFUSED' && code !== 'ENOENT') {
    throw new SocketRefused(
      `whether a server answers on ${socketPath} cannot be told (${code}): ` +
        'look at it, and remove it if it is left over',
    );
  }
  await unlink(socketPath).catch((error: unknown) => {
    if (!isAbsent(error)) throw error;
  });
}

/** Refuses a path on which a server accepts; answers the errno name of its refusal otherwise. */
export async function refuseIfAnswered(socketPath: string): Promise<string> {
  const code = await connectFailure(socketPath);
  if (code !== undefined) return code;
  throw new SocketRefused(
    `another server answers on ${socketPath}: stop it or choose another address`,
  );
}

const isAbsent = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** undefined if a server accepts, else the errno name of the refusal. */
function connectFailure(socketPath: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const finish = (code: string | undefined): void => {
      socket.destroy();
      resolve(code);
    };
    socket.setTimeout(connectTimeoutMs, () => finish('ETIMEDOUT'));
    socket.once('connect', () => finish(undefined));
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? 'EIO'));
  });
}
