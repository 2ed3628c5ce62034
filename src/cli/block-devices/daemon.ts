// varve-bd as the `varve bd` commands ask it. Every failure becomes a CliFailure that says what to
// do next.
import {
  BlockDaemonClient,
  BlockDaemonError,
  BlockDaemonUnreachable,
} from '../../adapters/block-daemon/client.ts';
import { statSync } from 'node:fs';
import { isSocketPath } from '../../config/values.ts';
import { resolve } from 'node:path';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes, type ExitCode } from '../exit-codes.ts';
import { defaultBlockSocket, blockSocketVariable } from './socket.ts';

/** Options that every `varve bd` command has. */
export interface BlockOptions {
  readonly socket?: string;
  readonly arguments: readonly string[];
}

/** Uses a connection and closes it, whatever happens. */
export async function withBlockDaemon<Value>(
  { environment }: Pick<CommandContext, 'environment'>,
  { socket }: Pick<BlockOptions, 'socket'>,
  use: (client: BlockDaemonClient) => Promise<Value>,
): Promise<Value> {
  const path = socketOf(socket, environment);
  try {
    const client = await BlockDaemonClient.connect(path);
    try {
      return await use(client);
    } finally {
      client.close();
    }
  } catch (error) {
    throw failureOf(error, path);
  }
}

function socketOf(
  flag: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const variable = environment[blockSocketVariable];
  const [source, text] =
    flag !== undefined
      ? ['--socket', flag]
      : [
          blockSocketVariable,
          variable === undefined || variable === '' ? defaultBlockSocket : variable,
        ];
  const checked = isSocketPath(text === '' ? text : resolve(text));
  if ('problem' in checked) throw new CliFailure(exitCodes.usage, `${source} ${checked.problem}`);
  return checked.value as string;
}

/** What to do next, where the daemon does not say it itself, and how the command ends. */
const endings: Readonly<Record<string, readonly [ExitCode, string]>> = {
  'not-found': [exitCodes.notFound, 'varve bd ls shows those there are'],
  'unsupported-version': [exitCodes.failure, 'use the varve of the same release as the daemon'],
  'unknown-operation': [exitCodes.failure, 'use the varve of the same release as the daemon'],
  'unknown-field': [exitCodes.failure, 'use the varve of the same release as the daemon'],
  'wrong-type': [exitCodes.usage, ''],
  'missing-field': [exitCodes.usage, ''],
  'invalid-value': [exitCodes.usage, ''],
  'in-use': [exitCodes.failure, ''],
  stopping: [exitCodes.unreachable, ''],
};

/** What the fields of requests are called on the command line. */
const flags: Readonly<Record<string, string>> = {
  device: 'the name of a device',
  config: 'the path of the configuration',
  output: 'the path of the output file',
  sizeBytes: 'the size in bytes',
  deadlineMs: '--deadline',
  patienceMs: '--patience',
  mode: '--mode',
  algorithm: '--algorithm',
  blockSizeBytes: '--block-size',
  userTag: '--user-tag',
  uuid: '--uuid',
  parentUuid: '--parent-uuid',
};

/** What the daemon says, in the words of the command line. */
function translated({ code, message }: BlockDaemonError): string {
  if (code === 'not-found') return message.replace(/: list .*$/, '');
  if (code !== 'invalid-value') return message;
  return message.replace(/^\w+/, (field) => flags[field] ?? field);
}

/** What the daemon tells when it refuses because somebody uses the device. */
export function inUseDetails(error: unknown): Readonly<Record<string, unknown>> | undefined {
  return error instanceof BlockDaemonError && error.code === 'in-use' ? error.details : undefined;
}

function failureOf(error: unknown, path: string): unknown {
  if (error instanceof BlockDaemonError) {
    const [exitCode, next] = endings[error.code] ?? [exitCodes.failure, ''];
    const message = translated(error);
    return new CliFailure(exitCode, next === '' ? message : `${message}; ${next}`, error);
  }
  return error instanceof BlockDaemonUnreachable ? unreachable(error, path) : error;
}

function unreachable({ code, message }: BlockDaemonUnreachable, path: string): CliFailure {
  const named = `name its socket with --socket or ${blockSocketVariable}`;
  switch (code) {
    case 'ENOENT':
      return new CliFailure(
        exitCodes.unreachable,
        `no varve-bd at ${path}: start varve-bd --socket ${path}, or ${named}`,
      );
    case 'ECONNREFUSED':
      if (statSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
        return new CliFailure(exitCodes.unreachable, `${path} is no socket: ${named}`);
      }
      return new CliFailure(
        exitCodes.unreachable,
        `the varve-bd at ${path} is not running: start varve-bd --socket ${path}`,
      );
    case 'EACCES':
    case 'EPERM':
      return new CliFailure(
        exitCodes.permission,
        `permission denied at ${path}: run this as root, or as the user who runs varve-bd`,
      );
    // So many wait to be accepted already.
    case 'EAGAIN':
    case 'ETIMEDOUT':
      return new CliFailure(
        exitCodes.unreachable,
        `the varve-bd at ${path} does not answer: look at its log, or restart it`,
      );
    case 'EPROTO':
      return new CliFailure(exitCodes.failure, `${path} answers, but not as varve-bd: ${named}`);
    case 'ECLOSED':
    case 'ECONNRESET':
    case 'EPIPE':
      return new CliFailure(
        exitCodes.unreachable,
        `the varve-bd at ${path} ended: its devices are gone; start it and open them again`,
      );
    default:
      return new CliFailure(exitCodes.unreachable, `cannot talk to ${path}: ${message}; ${named}`);
  }
}
