// The admin services as the commands call them. Every failure becomes a CliFailure that says what
// to do next.
import { stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { Client, connectivityState, credentials, status } from '@grpc/grpc-js';
import type {
  CallOptions,
  ClientReadableStream,
  MethodDefinition,
  ServiceError,
} from '@grpc/grpc-js';
import { inspectDefinition } from '../server/grpc/definitions.ts';
import type { varve } from '../server/grpc/messages.ts';
import { CliFailure, exitCodes } from './exit-codes.ts';
import type { ExitCode } from './exit-codes.ts';

/** How long one question may take; folding a long history takes a while. */
const questionDeadlineMs = 10 * 60 * 1000;
/** How long the daemon may take to accept the connection, and to say its first word on it. */
const connectDeadlineMs = 5000;
/** A daemon that hangs later is noticed by a ping after so long, unanswered for so long. */
const pingIntervalMs = 10_000;
const pingDeadlineMs = 20_000;

type Unary = 'status' | 'configuration';
/** Answered in parts. */
type InParts = 'state' | 'devices' | 'fsck' | 'snapshot' | 'why' | 'diff';
type Part = varve.v1.Part.$Properties;

export class AdminClient {
  readonly #client: Client;
  readonly #address: string;

  private constructor(client: Client, address: string) {
    this.#client = client;
    this.#address = address;
  }

  /** Connects; fails with the reason and the next step if nobody answers at `address`. */
  static async connect(address: string): Promise<AdminClient> {
    await probe(address);
    const client = new Client(`unix:${address}`, credentials.createInsecure(), {
      // A single event may have as many labels as a request can carry.
      'grpc.max_receive_message_length': -1,
      'grpc.enable_http_proxy': 0,
      'grpc.keepalive_time_ms': pingIntervalMs,
      'grpc.keepalive_timeout_ms': pingDeadlineMs,
    });
    await greeted(client, address);
    return new AdminClient(client, address);
  }

  close(): void {
    this.#client.close();
  }

  /** Asks Inspect for a document. */
  async document<Document>(method: InParts | Unary, request: object = {}): Promise<Document> {
    const json =
      method === 'status' || method === 'configuration'
        ? await this.#unary(inspectDefinition[method], request)
        : await this.#joined(inspectDefinition[method], request);
    return JSON.parse(json) as Document;
  }

  async #unary(
    definition: MethodDefinition<object, { json?: string | null }>,
    request: object,
  ): Promise<string> {
    const { json } = await this.answer(definition, request);
    return json ?? 'null';
  }

  /** The answer to a call that has one. */
  answer<Request, Response>(
    definition: MethodDefinition<Request, Response>,
    request: Request,
  ): Promise<Response> {
    return new Promise<Response>((resolve, reject) => {
      this.#client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request,
        { deadline: Date.now() + questionDeadlineMs },
        (error, value) =>
          error === null ? resolve(value as Response) : reject(failureOf(error, this.#address)),
      );
    });
  }

  async #joined(definition: MethodDefinition<object, Part>, request: object): Promise<string> {
    const contents: Uint8Array[] = [];
    const deadline = Date.now() + questionDeadlineMs;
    for await (const { content } of this.answers(definition, request, { deadline })) {
      contents.push(content ?? new Uint8Array());
    }
    return Buffer.concat(contents).toString();
  }

  /** Opens a stream of answers. */
  stream<Request, Response>(
    definition: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): ClientReadableStream<Response> {
    return this.#client.makeServerStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      request,
      options,
    );
  }

  /** The answers of a stream, in order. */
  async *answers<Request, Response>(
    definition: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): AsyncGenerator<Response> {
    const stream = this.stream(definition, request, options);
    try {
      for await (const answer of stream) yield answer as Response;
    } catch (error) {
      throw failureOf(error, this.#address);
    } finally {
      stream.cancel();
    }
  }
}

/** Uses a client and closes it, whatever happens. */
export async function withAdminClient<Value>(
  address: string,
  use: (client: AdminClient) => Promise<Value>,
): Promise<Value> {
  const client = await AdminClient.connect(address);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

// grpc-js only says "No connection established": a plain connection tells the reason.
async function probe(address: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(address);
      socket.setTimeout(connectDeadlineMs, () => {
        socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' }));
      });
      socket.once('connect', () => {
        socket.destroy();
        resolve();
      });
      socket.once('error', reject);
    });
  } catch (error) {
    throw await connectionFailure(address, (error as NodeJS.ErrnoException).code ?? '');
  }
}

// A kernel accepts connections also for a process that hangs: only its first word counts.
async function greeted(client: Client, address: string): Promise<void> {
  const channel = client.getChannel();
  const deadline = Date.now() + connectDeadlineMs;
  for (;;) {
    const state = channel.getConnectivityState(true);
    // Why it fails, the first call tells.
    const { READY, TRANSIENT_FAILURE } = connectivityState;
    if (state === READY || state === TRANSIENT_FAILURE) return;
    const isLate = await new Promise<boolean>((resolve) =>
      channel.watchConnectivityState(state, deadline, (error) => resolve(error !== undefined)),
    );
    if (!isLate) continue;
    client.close();
    throw await connectionFailure(address, 'ETIMEDOUT');
  }
}

async function connectionFailure(address: string, code: string): Promise<CliFailure> {
  switch (code) {
    case 'ENOENT':
      return new CliFailure(
        exitCodes.unreachable,
        `no varve daemon at ${address}: start varve serve, or name its socket with ` +
          '--address or VARVE_ADDRESS',
      );
    case 'ECONNREFUSED':
      return new CliFailure(
        exitCodes.unreachable,
        (await isSocket(address))
          ? `the varve daemon at ${address} is not running: start varve serve`
          : `${address} is not a socket: name the daemon's with --address or VARVE_ADDRESS`,
      );
    case 'EACCES':
    case 'EPERM':
      return new CliFailure(
        exitCodes.permission,
        `permission denied at ${address}: run this as root, or as the user who runs varve serve`,
      );
    case 'ETIMEDOUT':
      return new CliFailure(exitCodes.unreachable, noAnswer(address));
    default:
      return new CliFailure(
        exitCodes.unreachable,
        `cannot connect to ${address}: ${code}; name the daemon's socket with --address`,
      );
  }
}

const noAnswer = (address: string): string =>
  `the varve daemon at ${address} does not answer: look at its log, or restart it`;

async function isSocket(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isSocket();
  } catch {
    // Gone in the meantime: nobody runs there.
    return true;
  }
}

const exitCodeByStatus: ReadonlyMap<status, ExitCode> = new Map<status, ExitCode>([
  [status.NOT_FOUND, exitCodes.notFound],
  [status.OUT_OF_RANGE, exitCodes.outOfRange],
  [status.DATA_LOSS, exitCodes.damaged],
  [status.UNAVAILABLE, exitCodes.unreachable],
  [status.PERMISSION_DENIED, exitCodes.permission],
  [status.INVALID_ARGUMENT, exitCodes.usage],
]);

/** The failure that a gRPC error is to the user. */
function failureOf(error: unknown, address: string): Error {
  if (error instanceof CliFailure || !(error instanceof Error)) {
    return error instanceof Error ? error : new Error(String(error));
  }
  const { code, details } = error as Partial<ServiceError>;
  if (typeof code !== 'number') return error;
  if (code === status.UNIMPLEMENTED) {
    return new CliFailure(
      exitCodes.failure,
      `${address} answers, but not as an admin socket: if it is the Snapshots socket, name it ` +
        'with --address; if not, its varve serve is older: restart it with this version',
      error,
    );
  }
  if (code === status.DEADLINE_EXCEEDED || /keepalive/i.test(details ?? '')) {
    return new CliFailure(exitCodes.unreachable, noAnswer(address), error);
  }
  const exitCode = exitCodeByStatus.get(code) ?? exitCodes.failure;
  const text = details === undefined || details === '' ? status[code] : details;
  return new CliFailure(exitCode, text, error);
}

/** Streams through a client that is closed at the end, whatever happens. */
export async function* withStreams<Value>(
  address: string,
  use: (client: AdminClient) => AsyncGenerator<Value>,
): AsyncGenerator<Value> {
  const client = await AdminClient.connect(address);
  try {
    yield* use(client);
  } finally {
    client.close();
  }
}
