// A real server process on a scratch root, with real adapters; the end of the test kills it.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import type { Configuration } from '../../src/config/configuration.ts';

const program = fileURLToPath(new URL('server-main.ts', import.meta.url));

export interface LogLine {
  readonly level: string;
  readonly msg: string;
}

/** A scratch directory that the end of the test deletes. */
export async function scratchDirectory(t: TestContext): Promise<string> {
  const scratch = await mkdtemp(path.join(tmpdir(), 'varve-process-'));
  t.after(() => rm(scratch, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  return scratch;
}

/** Root and sockets in `scratch`. */
export const configurationIn = (
  scratch: string,
): Pick<Configuration, 'root' | 'address' | 'adminAddress'> => ({
  root: path.join(scratch, 'root'),
  address: path.join(scratch, 'run', 'varve.sock'),
  adminAddress: path.join(scratch, 'run', 'admin.sock'),
});

export interface ServerProcessOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** A FIFO that holds one thread of the process for ever. */
  readonly stuckOn?: string;
}

export class ServerProcess {
  readonly child: ChildProcess;
  readonly lines: LogLine[] = [];
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  readonly #waiting = new Set<() => void>();

  constructor(
    t: TestContext,
    configuration: Partial<Configuration>,
    { environment = {}, stuckOn }: ServerProcessOptions = {},
  ) {
    const args = [
      program,
      JSON.stringify(configuration),
      ...(stuckOn === undefined ? [] : [stuckOn]),
    ];
    this.child = spawn(process.execPath, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.exited = once(this.child, 'exit').then(([code, signal]) => {
      for (const look of this.#waiting) look();
      return { code: code as number | null, signal: signal as string | null };
    });
    if (this.child.stderr !== null) {
      createInterface(this.child.stderr).on('line', (line) => this.#take(line));
    }
    t.after(async () => {
      this.child.kill('SIGKILL');
      await this.exited;
    });
  }

  #take(line: string): void {
    this.lines.push(
      line.startsWith('{') ? (JSON.parse(line) as LogLine) : { level: 'text', msg: line },
    );
    for (const look of this.#waiting) look();
  }

  /** Resolves with the first line that says `expected`; fails if the process ends without. */
  async says(expected: RegExp): Promise<LogLine> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.lines.find(({ msg }) => expected.test(msg));
        if (found !== undefined) {
          this.#waiting.delete(look);
          resolve(found);
        } else if (this.child.exitCode !== null || this.child.signalCode !== null) {
          this.#waiting.delete(look);
          const said = this.lines.map(({ msg }) => msg).join('\n');
          reject(new Error(`the server ended without saying ${expected}:\n${said}`));
        }
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Helper processes that live at this moment. */
  async helperPids(): Promise<readonly number[]> {
    const task = `/proc/${this.child.pid}/task/${this.child.pid}/children`;
    return (await readFile(task, 'utf8')).split(' ').filter(Boolean).map(Number);
  }

  serving(): Promise<LogLine> {
    return this.says(/^serving$/);
  }
}
