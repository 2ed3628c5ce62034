// A client of varve-bd's control socket (docs/block-daemon.md): lines of JSON, several requests in
// flight on one connection, and the events.
import { connect, type Socket } from 'node:net';

/** The version of the protocol that is spoken here. */
const protocolVersion = 1;

/**
 * How long the daemon may be silent while something is awaited of it: then it is asked for a sign
 * of life, which it gives at once whatever it works on, and for which it has as long again.
 */
const silenceMaxMs = 3000;

/** What an operation is asked with: its fields, without those that every request has. */
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

/** A request that the daemon refused or could not carry out. */
export class BlockDaemonError extends Error {
  override readonly name = 'BlockDaemonError';
  /** As docs/block-daemon.md lists them. */
  readonly code: string;
  /** Everything that the daemon tells of it. */
  readonly details: Readonly<Record<string, unknown>>;
  constructor(code: string, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** The connection failed or ended; `code` is an errno name, or ECLOSED: the daemon closed it. */
export class BlockDaemonUnreachable extends Error {
  override readonly name = 'BlockDaemonUnreachable';
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** An event as the daemon sends it. */
export type BlockDaemonEvent = { readonly event: string; readonly time: string } & Readonly<
  Record<string, unknown>
>;

interface Line {
  readonly id?: number | null;
  readonly ok?: unknown;
  readonly error?: Readonly<Record<string, unknown>> & {
    readonly code: string;
    readonly message: string;
  };
  readonly event?: string;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class BlockDaemonClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #events: BlockDaemonEvent[] = [];
  #wakeListener: () => void = () => undefined;
  #nextId = 1;
  #unfinished = '';
  #isProbed = false;
  #failure: Error | undefined;

  private constructor(socket: Socket, silenceMs: number) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.setTimeout(silenceMs).on('timeout', () => this.#probe());
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      this.#end(new BlockDaemonUnreachable(error.code ?? 'EIO', error.message)),
    );
    socket.on('close', () =>
      this.#end(new BlockDaemonUnreachable('ECLOSED', 'the daemon closed the connection')),
    );
  }

  /** Connects; rejects with a BlockDaemonUnreachable. */
  static async connect(
    socketPath: string,
    silenceMs: number = silenceMaxMs,
  ): Promise<BlockDaemonClient> {
    const socket = connect(socketPath);
    await new Promise<void>((resolve, reject) => {
      const fail = (code: string, message: string): void => {
        socket.destroy();
        reject(new BlockDaemonUnreachable(code, message));
      };
      socket.setTimeout(silenceMs, () => fail('ETIMEDOUT', 'no answer'));
      socket.once('error', (error: NodeJS.ErrnoException) =>
        fail(error.code ?? 'EIO', error.message),
      );
      socket.once('connect', resolve);
    });
    socket.setTimeout(0).removeAllListeners();
    return new BlockDaemonClient(socket, silenceMs);
  }

  /** Carries out one operation; rejects with a BlockDaemonError or a BlockDaemonUnreachable. */
  async request<Answer>(operation: string, fields: Fields = {}): Promise<Answer> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = new Promise<unknown>((resolve, reject) =>
      this.#waiting.set(id, { resolve, reject }),
    );
    const request = { version: protocolVersion, id, operation, ...fields };
    this.#socket.write(`${JSON.stringify(request)}\n`);
    return (await answer) as Answer;
  }

  /** Events from now on, until the connection ends, which rejects. One listener at a time. */
  async *events(): AsyncGenerator<BlockDaemonEvent> {
    await this.request('events');
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) {
        // A slow listener makes the daemon's queue wait, which is bounded and tells of gaps.
        if (this.#events.length === 0) this.#socket.resume();
        yield event;
      } else if (this.#failure !== undefined) {
        throw this.#failure;
      } else {
        await new Promise<void>((resolve) => (this.#wakeListener = resolve));
      }
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The socket has been silent; one that is full of events that nobody reads tells nothing. */
  #probe(): void {
    if (this.#socket.isPaused()) return;
    if (this.#isProbed) {
      this.#end(new BlockDaemonUnreachable('ETIMEDOUT', 'no answer'));
      return;
    }
    this.#isProbed = true;
    // Whatever the answer is, it is one.
    void this.request('list').catch(() => undefined);
  }

  #take(text: string): void {
    this.#isProbed = false;
    const lines = (this.#unfinished + text).split('\n');
    this.#unfinished = lines.pop() ?? '';
    for (const line of lines) this.#takeLine(line);
  }

  #takeLine(text: string): void {
    let line: Line;
    try {
      line = JSON.parse(text) as Line;
    } catch {
      this.#end(new BlockDaemonUnreachable('EPROTO', 'it does not answer in JSON'));
      return;
    }
    if (line.event !== undefined) {
      this.#events.push(line as BlockDaemonEvent);
      this.#socket.pause();
      this.#wakeListener();
      return;
    }
    const { code, message } = line.error ?? {};
    const error = new BlockDaemonError(
      code ?? 'failed',
      message ?? 'no reason was told',
      line.error,
    );
    const waiting = this.#waiting.get(line.id ?? 0);
    if (waiting === undefined) {
      // A refusal of the connection itself is of no request.
      if (line.error !== undefined) this.#end(error);
      return;
    }
    this.#waiting.delete(line.id ?? 0);
    if (line.error === undefined) waiting.resolve(line.ok);
    else waiting.reject(error);
  }

  #end(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#wakeListener();
  }
}
