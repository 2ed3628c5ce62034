// Runs one command to its end, bounded in time; what it printed is in the error if it fails.
import { spawn } from 'node:child_process';
import { patience } from './patience.ts';

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly limitMs?: number;
}

export interface CommandResult {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const defaultLimitMs = 60_000;

/**
 * Runs a command whatever its exit status; fails only if it cannot be started or takes too long.
 */
export function tryCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { env, cwd } = options;
  const limitMs = (options.limitMs ?? defaultLimitMs) * patience;
  const [program = '', ...parameters] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, {
      env: { ...process.env, ...env },
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${argv.join(' ')} took longer than ${limitMs} ms`));
    }, limitMs);
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      const status = code ?? (signal === null ? 1 : 128);
      const result = { status, stdout: Buffer.concat(stdout) };
      resolve({ ...result, stderr: Buffer.concat(stderr).toString() });
    });
  });
}

/** Runs a command that must succeed and gives what it printed. */
export async function runBinary(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<Buffer> {
  const { status, stdout, stderr } = await tryCommand(argv, options);
  if (status === 0) return stdout;
  const printed = `${stderr}${stdout.toString().slice(-2000)}`.trim();
  throw new Error(`${argv.join(' ')} ended with status ${status}: ${printed}`);
}

/** Runs a command that must succeed and gives what it printed, as text. */
export async function runCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  return (await runBinary(argv, options)).toString();
}

/** What is missing on this machine for a part of the lab; a test that needs it is skipped. */
export class MissingError extends Error {}
