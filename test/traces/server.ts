// A real `varve serve` on a scratch directory, as a process: started, restarted on the same root,
// stopped. VARVE_SERVE names another command than bin/varve.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { snapshotsDefinition } from '../../src/server/grpc/definitions.ts';
import { TestClient } from '../server/client.ts';

const command = process.env['VARVE_SERVE'] ?? join(import.meta.dirname, '../../bin/varve');
const startMs = 15_000;
const stopMs = 8_000;
const pollMs = 10;
const outputLengthMax = 8_000;

export class Server {
  readonly #scratch = mkdtempSync(join(tmpdir(), 'varve-traces-'));
  #process: ChildProcess | undefined;
  #client: TestClient | undefined;
  #output = '';

  get #socket(): string {
    return join(this.#scratch, 'run', 's.sock');
  }

  /** Where the snapshots' directories lie. */
  get snapshots(): string {
    return join(this.#scratch, 'root', 'snapshots');
  }

  get client(): TestClient {
    if (this.#client === undefined) throw new Error('the server is not running');
    return this.#client;
  }

  /** Ids of the snapshots that have a directory. */
  directoryIds(): readonly string[] {
    return readdirSync(this.snapshots).filter((name) => /^\d+$/.test(name));
  }

  async start(): Promise<void> {
    const root = join(this.#scratch, 'root');
    const child = spawn(command, ['serve', '--root', root, '--address', this.#socket], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: this.#scratch,
    });
    this.#process = child;
    // A command that cannot be run at all has no exit code; waiting for it to serve then fails.
    child.on('error', (error) => (this.#output += error.message));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes: Buffer) => {
        this.#output = (this.#output + bytes.toString()).slice(-outputLengthMax);
      });
    }
    const deadline = Date.now() + startMs;
    while (!(await accepts(this.#socket))) await this.#again(deadline);
    this.#client = new TestClient(this.#socket);
    while ((await this.client.all(snapshotsDefinition.list, {})).code !== 0) {
      await this.#again(deadline);
    }
  }

  async #again(deadline: number): Promise<void> {
    const isOver = this.#process?.pid === undefined || this.#process.exitCode !== null;
    if (isOver || Date.now() > deadline) {
      throw new Error(`${command} serve does not serve:\n${this.#output}`);
    }
    await delay(pollMs);
  }

  /** Asks the server to end; throws unless it ends in time and in order. */
  async stop(): Promise<void> {
    this.#client?.close();
    this.#client = undefined;
    const child = this.#process;
    if (child === undefined) return;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit', { signal: AbortSignal.timeout(stopMs) });
      child.kill('SIGTERM');
      await ended;
    }
    this.#process = undefined;
    if (child.exitCode !== 0) {
      throw new Error(`serve ended with ${child.exitCode ?? child.signalCode}:\n${this.#output}`);
    }
  }

  /** Removes everything, whatever happened before. */
  dispose(): void {
    this.#client?.close();
    this.#process?.kill('SIGKILL');
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
