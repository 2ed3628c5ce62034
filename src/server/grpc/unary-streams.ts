// Calls with one request and one answer, served directly on HTTP/2 streams. grpc-js builds a chain
// of objects and events for each call, which costs more than most answers; what it does for
// connections, for streams of answers and for every call out of the ordinary stays with it.
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { status, type MethodDefinition, type Server } from '@grpc/grpc-js';
import { invariant } from '../../machines/kernel/invariant.ts';
import { deadlineOf, isDeadline } from './grpc-timeout.ts';
import { responseBytesMax } from './limits.ts';
import { framed, RequestReader } from './message-frame.ts';
import type { ServedService } from './server.ts';
import type { StatusReply } from './status.ts';

/** As much of a call as a handler with one answer sees, whoever serves it. */
export interface UnaryCall<Request> {
  readonly request: Request;
  readonly metadata: { get(name: string): readonly unknown[] };
  /** Milliseconds since the epoch; Infinity for none. */
  getDeadline(): Date | number;
}

export type UnaryHandler<Request, Response> = (
  call: UnaryCall<Request>,
  callback: (reply: StatusReply | null, value?: Response) => void,
) => void;

interface UnaryMethod {
  readonly definition: MethodDefinition<unknown, unknown>;
  readonly handle: UnaryHandler<unknown, unknown>;
}

type StreamHandler = (
  interceptors: readonly unknown[],
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
) => void;

const answerHeaders: OutgoingHttpHeaders = {
  ':status': 200,
  'content-type': 'application/grpc+proto',
};
const withTrailers = { waitForTrailers: true };
const successTrailers: OutgoingHttpHeaders = { 'grpc-status': status.OK };

/** Takes the services' unary calls from a server that is not bound yet. */
export function serveUnaryStreams(server: Server, services: readonly ServedService[]): void {
  // Private, but the only place where a stream begins; the package's version is pinned.
  const streams = server as unknown as { _streamHandler: StreamHandler };
  const serveByGrpc = streams._streamHandler;
  invariant(typeof serveByGrpc === 'function', 'grpc-js begins streams in _streamHandler');
  const methods = unaryMethods(services);
  streams._streamHandler = (interceptors, stream, headers) => {
    const method = methods.get(headers[':path'] ?? '');
    if (method !== undefined && isOrdinary(headers)) new UnaryStream(stream, headers, method);
    else serveByGrpc.call(server, interceptors, stream, headers);
  };
}

function unaryMethods(services: readonly ServedService[]): Map<string, UnaryMethod> {
  const methods = new Map<string, UnaryMethod>();
  for (const service of services) {
    for (const [name, definition] of Object.entries(service.definition)) {
      const handle = service.implementation[name] as UnaryHandler<unknown, unknown> | undefined;
      if (handle === undefined || definition.requestStream || definition.responseStream) continue;
      methods.set(definition.path, { definition, handle });
    }
  }
  return methods;
}

/** Neither compressed nor malformed. */
function isOrdinary(headers: IncomingHttpHeaders): boolean {
  const encoding = headers['grpc-encoding'];
  return (
    headers['content-type']?.startsWith('application/grpc') === true &&
    (encoding === undefined || encoding === 'identity') &&
    isDeadline(headers['grpc-timeout'])
  );
}

/** One call. Invariant: it is answered at most once, and not when its stream is closed. */
class UnaryStream implements UnaryCall<unknown> {
  readonly metadata = { get: (name: string): readonly unknown[] => this.#header(name) };
  request: unknown;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #method: UnaryMethod;
  readonly #reader = new RequestReader();
  readonly #deadlineMs: number;
  #timer: NodeJS.Timeout | undefined;
  #isAnswered = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, method: UnaryMethod) {
    this.#stream = stream;
    this.#headers = headers;
    this.#method = method;
    this.#deadlineMs = deadlineOf(headers['grpc-timeout'], Date.now());
    if (this.#deadlineMs !== Infinity) {
      const expire = (): void =>
        this.#refuse({ code: status.DEADLINE_EXCEEDED, details: 'Deadline exceeded' });
      this.#timer = setTimeout(expire, this.#deadlineMs - Date.now());
      stream.once('close', () => clearTimeout(this.#timer));
    }
    // The stream's end is all that is of interest, and it comes in any case.
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => this.#read(chunk));
    stream.on('end', () => this.#begin());
  }

  getDeadline(): number {
    return this.#deadlineMs;
  }

  #header(name: string): readonly unknown[] {
    const value = this.#headers[name];
    return typeof value === 'string' ? value.split(',').map((part) => part.trim()) : [];
  }

  get #isOver(): boolean {
    return this.#isAnswered || this.#stream.destroyed || this.#stream.closed;
  }

  #read(chunk: Buffer): void {
    if (this.#isOver) return;
    const refusal = this.#reader.add(chunk);
    if (refusal !== undefined) this.#refuse(refusal);
  }

  #begin(): void {
    if (this.#isOver) return;
    const { definition, handle } = this.#method;
    const message = this.#reader.end();
    if (!Buffer.isBuffer(message)) {
      this.#refuse(message);
      return;
    }
    this.request = definition.requestDeserialize(message);
    handle(this, (reply, value) => {
      if (reply === null) this.#answer(value);
      else this.#refuse(reply);
    });
  }

  #answer(value: unknown): void {
    if (this.#isOver) return;
    const message = this.#method.definition.responseSerialize(value);
    if (message.length > responseBytesMax) {
      const details = `the answer has ${message.length} bytes; at most ${responseBytesMax} are sent`;
      this.#refuse({ code: status.RESOURCE_EXHAUSTED, details });
      return;
    }
    this.#settle();
    this.#stream.respond(answerHeaders, withTrailers);
    this.#stream.once('wantTrailers', () => this.#stream.sendTrailers(successTrailers));
    this.#stream.end(framed(message));
  }

  #refuse({ code, details, metadata }: StatusReply): void {
    if (this.#isOver) return;
    const headers = {
      ...answerHeaders,
      'grpc-status': code,
      'grpc-message': encodeURI(details),
      ...metadata?.toHttp2Headers(),
    };
    this.#settle();
    this.#stream.respond(headers, { endStream: true });
  }

  #settle(): void {
    this.#isAnswered = true;
    clearTimeout(this.#timer);
  }
}
