// Runs the real command in a process of its own, and real daemons for it to talk to.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { TestClient } from '../server/client.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));

/** The bundle, which starts faster, if it is not older than any source; else the sources. */
function currentProgram(): string {
  const bundle = path.join(checkout, 'dist', 'varve.mjs');
  const builtMs = statSync(bundle, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const isNewer = (file: string): boolean => statSync(file).mtimeMs > builtMs;
  const isStale = ['src', 'build/proto'].some((folder) =>
    readdirSync(path.join(checkout, folder), { recursive: true, encoding: 'utf8' }).some((name) =>
      isNewer(path.join(checkout, folder, name)),
    ),
  );
  return isStale ? path.join(checkout, 'src', 'cli', 'main.ts') : bundle;
}

/** The command that the tests run. */
export const program = currentProgram();

/** No command of a test takes longer. */
const commandDeadlineMs = 60_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  readonly uid?: number;
}

/** Starts the command; nothing of the environment names a daemon. */
export function startVarve(args: readonly string[], options: RunOptions = {}): ChildProcess {
  const { VARVE_ADDRESS: _address, VARVE_ADMIN_ADDRESS: _admin, ...environment } = process.env;
  return spawn(process.execPath, [program, ...args], {
    env: { ...environment, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    // A daemon lives as long as its test, which ends it.
    ...(args[0] === 'serve' ? {} : { timeout: commandDeadlineMs, killSignal: 'SIGKILL' as const }),
  });
}

/** Runs the command to its end. */
export async function varve(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = startVarve(args, options);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(options.input ?? '');
  // `once` rejects when the process cannot be started.
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  const text = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString('utf8');
  return { code, signal, stdout: text(stdout), stderr: text(stderr) };
}

/** A scratch directory; call `remove` when done. */
export function scratch(): { readonly path: string; readonly remove: () => void } {
  const directory = mkdtempSync(path.join(tmpdir(), 'varve-cli-'));
  return { path: directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** A daemon, started as users start it. */
export class Daemon {
  readonly address: string;
  readonly root: string;
  readonly snapshots: TestClient;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, root: string, address: string) {
    this.#child = child;
    this.root = root;
    this.address = address;
    this.snapshots = new TestClient(address);
  }

  /** Resolves once the daemon serves, or says that it cannot for a damaged log. */
  static async start(
    directory: string,
    flags: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Daemon> {
    const root = path.join(directory, 'root');
    const address = path.join(directory, 'run', 'varve.sock');
    // The machine may have a configuration of its own.
    const config = path.join(directory, 'config.json');
    writeFileSync(config, '{}');
    const own = ['--root', root, '--address', address, '--config', config];
    const child = startVarve(['serve', ...own, ...flags], { env });
    child.stdout?.resume();
    await begun(child);
    return new Daemon(child, root, address);
  }

  /** Resolves when the process is gone, however it ends. */
  async gone(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) await once(this.#child, 'exit');
  }

  /** Closes the reading ends of its output, as a terminal or a log collector that goes away. */
  stopReading(): void {
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  /** Ends it in order; answers its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.snapshots.close();
    const { exitCode, signalCode } = this.#child;
    const isRunning = exitCode === null && signalCode === null;
    const ended = isRunning ? once(this.#child, 'exit') : undefined;
    this.#child.kill(signal);
    await ended;
    return this.#child.exitCode;
  }
}

async function begun(child: ChildProcess): Promise<void> {
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code, signal) =>
      reject(new Error(`the daemon ended (${code ?? signal}):\n${said.join('\n')}`)),
    );
    if (child.stderr === null) return;
    createInterface(child.stderr).on('line', (line) => {
      said.push(line);
      if (/"msg":"serving"|is damaged/.test(line)) resolve();
    });
  });
}
