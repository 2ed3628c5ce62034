// A gRPC client of both sockets, with the limits that clients have by default: calls by definition,
// statuses as values, streams as arrays.
import {
  Client,
  credentials,
  Metadata,
  status,
  type ClientReadableStream,
  type MethodDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import type { varve } from '../../src/server/grpc/messages.ts';
import { patience } from '../e2e/lab/patience.ts';

/** How a call ended; `code` 0 is OK. */
export interface Reply<Response> {
  readonly code: number;
  readonly details: string;
  readonly value: Response | undefined;
}

type Method<Request, Response> = MethodDefinition<Request, Response>;

export interface CallOptions {
  readonly metadata?: Record<string, string>;
  readonly deadlineMs?: number;
}

const callDeadlineMs = 20_000 * patience;

export class TestClient {
  readonly #client: Client;

  constructor(socketPath: string) {
    this.#client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
      'grpc.enable_http_proxy': 0,
    });
  }

  /** Resolves when a server accepts. */
  connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + callDeadlineMs, (error) =>
        error === undefined ? resolve() : reject(error),
      );
    });
  }

  close(): void {
    this.#client.close();
  }

  call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Reply<Response>> {
    return this.raw(method as never, method.requestSerialize(request), options);
  }

  /** A call with any bytes as its request. */
  raw<Response>(
    method: Method<never, Response>,
    bytes: Buffer,
    options: CallOptions = {},
  ): Promise<Reply<Response>> {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
    const deadline = Date.now() + (options.deadlineMs ?? callDeadlineMs);
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        method.path,
        (value: Buffer) => value,
        method.responseDeserialize,
        bytes,
        metadata,
        { deadline },
        (error: ServiceError | null, value?: Response) =>
          resolve(
            error === null
              ? { code: 0, details: '', value }
              : { code: error.code, details: error.details, value: undefined },
          ),
      );
    });
  }

  /** Opens a stream. */
  open<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
  ): ClientReadableStream<Response> {
    return this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
    );
  }

  /** An answer in parts, joined. */
  async text<Request>(
    method: Method<Request, varve.v1.Part.$Properties>,
    request: Request,
  ): Promise<string> {
    const { code, details, messages } = await this.all(method, request);
    if (code !== 0) throw new Error(`${status[code]}: ${details}`);
    return Buffer.concat(messages.map(({ content }) => content ?? new Uint8Array())).toString();
  }

  /** Reads a stream to its end. */
  all<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
  ): Promise<Reply<Response> & { readonly messages: readonly Response[] }> {
    const stream = this.open(method, request);
    const messages: Response[] = [];
    stream.on('data', (message: Response) => messages.push(message));
    return new Promise((resolve) => {
      stream.on('error', (error: ServiceError) =>
        resolve({ code: error.code, details: error.details, value: undefined, messages }),
      );
      stream.on('end', () => resolve({ code: 0, details: '', value: undefined, messages }));
    });
  }
}
