// One worker process: a request at a time, a line out and a line in.
//
// Invariants: it inherits three pipes and nothing else, no environment, and stands in `/`. It keeps
// this process alive only while a request is under way. `ended` resolves exactly once.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';

import type { HelperRequest } from './requests.ts';

const replyCharactersMax = 1024 * 1024;

/** How a request ended: with the worker's reply, or with the worker. */
export type WorkerAnswer =
  | { readonly kind: 'reply'; readonly reply: unknown }
  | { readonly kind: 'ended'; readonly reason: string; readonly spawnCode?: string };

export class Worker {
  readonly ended: Promise<void>;
  /** Undefined if none could be started. */
  readonly #process: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #answer: ((answer: WorkerAnswer) => void) | undefined;
  #received = '';
  #lastId = 0;
  #end: Extract<WorkerAnswer, { kind: 'ended' }> | undefined;
  #resolveEnded: () => void = () => undefined;

  constructor(program: string, args: readonly string[]) {
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    const notStarted = (problem: NodeJS.ErrnoException): void => {
      const reason = `cannot start ${program}: ${problem.message}`;
      this.#finish({ kind: 'ended', reason, spawnCode: problem.code ?? 'EIO' });
    };
    try {
      this.#process = start(program, args);
    } catch (problem) {
      // Some errors are thrown (no memory to fork, for one), others emitted.
      notStarted(problem as NodeJS.ErrnoException);
      return;
    }
    this.#process.on('error', (problem) => {
      // Also emitted when a kill fails; only a process without id never started.
      if (this.pid === undefined) notStarted(problem);
    });
    this.#process.on('exit', (code, signal) => {
      this.#finish({ kind: 'ended', reason: signal === null ? `exit code ${code}` : signal });
    });
    this.#process.stdout.setEncoding('utf8');
    this.#process.stdout.on('data', (text: string) => this.#receive(text));
    // A worker that is gone is reported by its exit, not by the pipe that broke.
    this.#process.stdin.on('error', () => undefined);
    this.#process.stdout.on('error', () => undefined);
    this.#keepAlive(false);
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Sends a request; the worker must be idle. Never rejects. */
  ask(request: HelperRequest): Promise<WorkerAnswer> {
    if (this.#end !== undefined) return Promise.resolve(this.#end);
    this.#lastId += 1;
    this.#keepAlive(true);
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#process?.stdin.write(`${JSON.stringify({ ...request, id: this.#lastId })}\n`);
    });
  }

  /** Ends the worker at once; it may take time, or for ever, if a system call holds it. */
  kill(): void {
    this.#process?.kill('SIGKILL');
  }

  /** Lets an idle worker end by itself. */
  endInput(): void {
    this.#process?.stdin.end();
  }

  /** Stops waiting for the worker's end, so that it does not keep this process alive. */
  forget(): void {
    this.#keepAlive(false);
  }

  #receive(text: string): void {
    this.#received += text;
    const end = this.#received.indexOf('\n');
    if (end < 0) {
      if (this.#received.length > replyCharactersMax) this.kill();
      return;
    }
    const line = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + 1);
    const reply = parseReply(line);
    const id = reply?.['id'];
    // The worker answers id null to a line that it cannot read; any other reply out of turn means
    // that neither side knows any more which request is under way.
    if (this.#answer === undefined || (id !== null && id !== this.#lastId)) this.kill();
    else this.#settle({ kind: 'reply', reply });
  }

  #settle(answer: WorkerAnswer): void {
    const resolve = this.#answer;
    this.#answer = undefined;
    this.#keepAlive(false);
    resolve?.(answer);
  }

  #finish(end: Extract<WorkerAnswer, { kind: 'ended' }>): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#settle(end);
    this.#resolveEnded();
  }

  #keepAlive(wanted: boolean): void {
    const parts = [this.#process, this.#process?.stdin, this.#process?.stdout] as const;
    for (const part of parts as readonly (Socket | null | undefined)[]) {
      if (wanted) part?.ref();
      else part?.unref();
    }
  }
}

const start = (
  program: string,
  args: readonly string[],
): ChildProcessByStdio<Writable, Readable, null> =>
  spawn(program, [...args], { cwd: '/', env: {}, stdio: ['pipe', 'pipe', 'ignore'] });

const parseReply = (line: string): Record<string, unknown> | undefined => {
  try {
    const reply: unknown = JSON.parse(line);
    return typeof reply === 'object' && reply !== null
      ? (reply as Record<string, unknown>)
      : undefined;
  } catch {
    // Not JSON: the caller ends the worker.
    return undefined;
  }
};
