// Runs varve-layer, which makes the layers. Every run ends with the conversion, however that ends.
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { printable } from '../history/text.ts';
import type { StepListener } from './progress.ts';
import { refuse } from './refusal.ts';

/** What a program says of a failure is a line or two. */
const messageCharactersMax = 4000;

export interface RunOptions {
  /** Standard input. */
  readonly input?: AsyncIterable<Buffer>;
  readonly progress?: StepListener;
}

/** The descriptor on which it tells how far it is. */
const progressDescriptor = 3;

const pipeFor = (wanted: unknown): 'pipe' | 'ignore' => (wanted === undefined ? 'ignore' : 'pipe');

export class LayerTool {
  readonly #program: string;
  readonly #running = new Set<ChildProcess>();
  #isEnded = false;

  constructor(program: string) {
    this.#program = program;
  }

  /**
   * Runs one command, and answers what it printed. The input is read to its end whatever the
   * command makes of it, since only its end tells whether it is what it should be.
   */
  async run(argv: readonly string[], { input, progress }: RunOptions = {}): Promise<string> {
    if (this.#isEnded) return refuse('the conversion has been ended');
    const telling = progress === undefined ? [] : ['--progress-fd', `${progressDescriptor}`];
    const child: ChildProcess = spawn(this.#program, [...argv, ...telling], {
      stdio: [pipeFor(input), 'pipe', 'pipe', pipeFor(progress)],
    });
    this.#running.add(child);
    const ended = endOf(child);
    try {
      const printed = textOf(child.stdout as Readable);
      const complaint = textOf(child.stderr as Readable);
      if (progress !== undefined) tell(child.stdio[progressDescriptor] as Readable, progress);
      if (input !== undefined) await feed(child.stdin as Writable, input);
      const how = await ended;
      if (how === 'done') return await printed;
      return refuse(failureText(await complaint, how));
    } finally {
      child.kill('SIGKILL');
      await ended;
      this.#running.delete(child);
    }
  }

  /** Ends what runs, at once, and begins nothing more. */
  end(): void {
    this.#isEnded = true;
    for (const child of this.#running) child.kill('SIGKILL');
  }
}

/** How it ended: `done`, or in words. Never rejects, so that nobody has to wait for it. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('close', (code, signal) => {
      if (code === 0) resolve('done');
      else resolve(code === null ? `was ended by ${signal ?? 'a signal'}` : `ended with ${code}`);
    });
  });
}

/** Hands on how far a command is; of lines that are none nothing depends. */
function tell(stream: Readable, progress: StepListener): void {
  stream.on('error', () => undefined);
  createInterface(stream).on('line', (line) => {
    const [, done, total] = /"doneBytes":(\d+),"totalBytes":(\d+)/.exec(line) ?? [];
    if (done !== undefined && total !== undefined) progress(Number(done), Number(total));
  });
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) {
    if (text.length < messageCharactersMax) text += chunk as string;
  }
  return text;
}

async function feed(pipe: Writable, input: AsyncIterable<Buffer>): Promise<void> {
  // A command that has failed reads no further; it says itself why.
  const closed = new Promise<void>((resolve) => {
    pipe.once('error', () => resolve());
    pipe.once('close', () => resolve());
  });
  for await (const chunk of input) {
    if (!pipe.writable || pipe.write(chunk)) continue;
    const drained = new Promise<void>((resolve) => pipe.once('drain', () => resolve()));
    await Promise.race([drained, closed]);
  }
  pipe.end();
}

function failureText(complaint: string, how: string): string {
  const lines = complaint
    .trim()
    .split('\n')
    .map((line) => printable(line.replace(/^varve-layer: /, '')))
    .filter((line) => line !== '');
  return lines.length === 0 ? `varve-layer ${how}` : lines.join('\n');
}
