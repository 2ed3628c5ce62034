// One varve-helper process: a request line in, a reply line out, one at a time. The process inherits
// nothing but its three standard descriptors and is killed when a request passes its deadline.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { HelperReply, HelperRequest } from './protocol.ts';

/** How long a killed worker may take to end before it counts as stuck in the kernel. */
const killGraceMs = 1_000;

export interface WorkerOptions {
  readonly program: string;
  readonly args: readonly string[];
  /** Called once when the process is gone. */
  readonly onExit: (worker: Worker) => void;
}

interface Pending {
  readonly id: number;
  readonly resolve: (reply: HelperReply) => void;
}

export class Worker {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  #pending: Pending | undefined;
  #received = '';
  #nextId = 1;
  #isGone = false;

  constructor({ program, args, onExit }: WorkerOptions) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: {}, cwd: '/' });
    this.#child.stdout.setEncoding('utf8');
    this.#child.stdout.on('data', (text: string) => {
      this.#receive(text);
    });
    this.#child.stdin.on('error', () => undefined);
    const gone = (reason: string): void => {
      if (this.#isGone) return;
      this.#isGone = true;
      this.#answer({ ok: false, code: 'EPIPE', step: 'helper', message: reason });
      onExit(this);
    };
    this.#child.on('error', (error) => {
      gone(`the helper program could not be started: ${error.message}`);
    });
    this.#child.on('exit', (code, signal) => {
      gone(`the helper program ended with ${signal ?? String(code)}`);
    });
    this.#setReferenced(false);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Sends one request; the caller waits for the reply before it sends the next. */
  run(request: HelperRequest): Promise<HelperReply> {
    const id = this.#nextId++;
    if (this.#isGone) {
      const message = 'the helper program is gone';
      return Promise.resolve({ ok: false, code: 'EPIPE', step: 'helper', message });
    }
    return new Promise((resolve) => {
      this.#pending = { id, resolve };
      this.#setReferenced(true);
      this.#child.stdin.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  /** Ends a worker whose request passed its deadline; false if it is stuck and had to be left. */
  async kill(): Promise<boolean> {
    if (this.#isGone) return true;
    const exited = new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => {
        resolve(false);
      }, killGraceMs);
      this.#child.once('exit', () => {
        clearTimeout(timer);
        resolve(true);
      });
    });
    this.#child.kill('SIGKILL');
    return exited;
  }

  /** Lets the worker end by itself once its input ends. */
  end(): void {
    this.#child.stdin.end();
  }

  // An idle worker must not keep the service's process alive.
  #setReferenced(isReferenced: boolean): void {
    const streams = [this.#child.stdin, this.#child.stdout] as unknown as {
      ref(): void;
      unref(): void;
    }[];
    for (const each of [this.#child, ...streams]) {
      if (isReferenced) each.ref();
      else each.unref();
    }
  }

  #receive(text: string): void {
    this.#received += text;
    const end = this.#received.indexOf('\n');
    if (end < 0) return;
    const line = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + 1);
    const reply = JSON.parse(line) as HelperReply & { readonly id: number };
    if (reply.id === this.#pending?.id) this.#answer(reply);
  }

  #answer(reply: HelperReply): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (!this.#isGone) this.#setReferenced(false);
    pending?.resolve(reply);
  }
}
