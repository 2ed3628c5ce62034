// What every call of every service has in common: a request id, the caller's namespace, a deadline,
// a bound on calls in progress, one log line, and the way from a Result or an error to a status.
import { status, type handleServerStreamingCall, type ServerWritableStream } from '@grpc/grpc-js';
import type { Call } from '../../engine/api.ts';
import type { Cause } from '../../machines/kernel/envelope.ts';
import type { Clock, Logger } from '../../engine/ports.ts';
import { rejected, type Result } from '../../machines/kernel/rejection.ts';
import { shorten } from '../../machines/kernel/text.ts';
import { MalformedRequest } from './definitions.ts';
import { concurrentCallsMax } from './limits.ts';
import { ConsumerGone, ConsumerStalled, MessageStream } from './message-stream.ts';
import {
  sendable,
  statusName,
  statusOfError,
  statusOfRejection,
  type StatusReply,
} from './status.ts';
import type { UnaryCall, UnaryHandler } from './unary-streams.ts';

/** A call as a handler sees it. */
export class Rpc implements Call {
  readonly method: string;
  readonly deadlineMs: number;
  readonly #call: AnyCall;
  readonly #newRequestId: () => string;
  #cause: Cause | undefined;

  constructor(
    method: string,
    call: AnyCall,
    options: Pick<RpcRunnerOptions, 'callDeadlineMs' | 'newRequestId'>,
  ) {
    this.method = method;
    this.#call = call;
    this.#newRequestId = options.newRequestId;
    const deadline = Number(call.getDeadline());
    const remainingMs = Number.isFinite(deadline) ? Math.max(deadline - Date.now(), 1) : Infinity;
    this.deadlineMs = Math.min(options.callDeadlineMs, remainingMs);
  }

  /** With a request id; made when it is first asked for, since a read that succeeds needs none. */
  get cause(): Cause {
    return (this.#cause ??= this.#makeCause());
  }

  #makeCause(): Cause {
    const requestId = this.#newRequestId();
    const namespace = this.#call.metadata.get(namespaceHeader)[0];
    const cause = { kind: 'rpc' as const, method: this.method, requestId };
    return typeof namespace === 'string' && namespace !== ''
      ? { ...cause, namespace: shorten(namespace, namespaceLengthMax) }
      : cause;
  }
}

export interface RpcRunnerOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  /** Whether lines at debug level are written: they cost as much as a read. */
  readonly isDebugLogged: boolean;
  readonly callDeadlineMs: number;
  readonly newRequestId: () => string;
  /** The log failed or an invariant is broken: the process must not go on. */
  readonly onFatal: (error: Error) => void;
}

type AnyCall = UnaryCall<unknown> | ServerWritableStream<unknown, unknown>;

/** As much of a key as a log line shows. */
const loggedKeyLengthMax = 256;

const namespaceHeader = 'containerd-namespace';
/** containerd's own limit for a namespace's name is 76 bytes. */
const namespaceLengthMax = 256;

/** Runs the handlers of all services of one server process. */
export class RpcRunner {
  readonly #options: RpcRunnerOptions;
  readonly #idle: (() => void)[] = [];
  #activeCount = 0;
  #isStopping = false;

  constructor(options: RpcRunnerOptions) {
    this.#options = options;
  }

  /** Calls in progress, open Watches included. */
  get activeCount(): number {
    return this.#activeCount;
  }

  /** Refuses every call from now on. */
  stopAccepting(): void {
    this.#isStopping = true;
  }

  /** Resolves when no call is in progress. */
  async whenIdle(): Promise<void> {
    if (this.#activeCount > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** A handler for a call with one answer. */
  unary<Request, Response>(
    method: string,
    handle: (request: Request, rpc: Rpc) => Promise<Result<Response>> | Result<Response>,
  ): UnaryHandler<Request, Response> {
    return (call, callback) => {
      void this.#run(method, call, async (rpc) => {
        const result = await handle(call.request, rpc);
        if (!result.ok) return result;
        callback(null, result.value);
        return undefined;
      }).then((failed) => {
        if (failed !== undefined) this.#send(method, failed, callback);
      });
    };
  }

  /** A handler for a call that answers a stream. */
  streamed<Request, Response>(
    method: string,
    handle: (
      request: Request,
      stream: MessageStream<Response>,
      rpc: Rpc,
    ) => Promise<Result<void> | StatusReply>,
  ): handleServerStreamingCall<Request, Response> {
    return (call) => {
      const stream = new MessageStream<Response>(call, this.#options.clock);
      void this.#run(method, call as AnyCall, async (rpc) => {
        const result = await handle(call.request, stream, rpc).catch(streamFailure);
        if ('code' in result || !result.ok) return result;
        call.end();
        return undefined;
      }).then((failed) => {
        if (failed === undefined || stream.isGone) return;
        this.#send(method, failed, (reply) => call.emit('error', reply));
      });
    };
  }

  /** An answer that cannot be sent ends its call, never the process. */
  #send(method: string, reply: StatusReply, send: (reply: StatusReply) => void): void {
    for (const answer of [reply, unsendable]) {
      try {
        send(answer);
        return;
      } catch (error) {
        this.#options.logger.error({ err: error }, `the answer of ${method} cannot be sent`);
      }
    }
  }

  async #run(
    method: string,
    call: AnyCall,
    handle: (rpc: Rpc) => Promise<Result<unknown> | StatusReply | undefined>,
  ): Promise<StatusReply | undefined> {
    const startedAtUs = this.#options.clock.nowUs();
    const rpc = new Rpc(method, call, this.#options);
    this.#activeCount += 1;
    let failed: StatusReply | undefined;
    try {
      const refused = this.#refusal(call.request);
      const result = refused ?? (await handle(rpc));
      if (result !== undefined) failed = this.#failure(result);
    } catch (error) {
      failed = this.#caught(error, rpc);
    } finally {
      this.#activeCount -= 1;
      if (this.#activeCount === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
    if (failed !== undefined) failed = sendable(failed);
    this.#log(rpc, call.request, { startedAtUs, failed });
    return failed;
  }

  #failure(result: Result<unknown> | StatusReply): StatusReply | undefined {
    if ('code' in result) return result;
    return result.ok ? undefined : statusOfRejection(result.rejection);
  }

  #refusal(request: unknown): Result<never> | undefined {
    if (this.#isStopping) return rejected('unavailable', 'varve is stopping: call again later');
    if (this.#activeCount > concurrentCallsMax) {
      return rejected(
        'resource_exhausted',
        `${concurrentCallsMax} calls are in progress already: call again later`,
      );
    }
    if (request instanceof MalformedRequest) {
      return rejected('invalid_argument', `the request cannot be decoded: ${request.reason}`);
    }
    return undefined;
  }

  #caught(error: unknown, rpc: Rpc): StatusReply {
    const { isFatal, ...reply } = statusOfError(error);
    const { logger, onFatal } = this.#options;
    const { method, cause } = rpc;
    // What the log's condition answers is no fault of the program: the call's own line says it.
    if (reply.code === status.INTERNAL) {
      logger.error({ requestId: cause.requestId, method, err: error }, `${method} failed`);
    }
    if (isFatal) onFatal(error as Error);
    return reply;
  }

  #log(
    rpc: Rpc,
    request: unknown,
    outcome: { readonly startedAtUs: number; readonly failed: StatusReply | undefined },
  ): void {
    const { logger, clock, isDebugLogged } = this.#options;
    const { failed } = outcome;
    const level = failed === undefined ? 'debug' : levels[statusName(failed.code)];
    if (level === 'debug' && !isDebugLogged) return;
    const { key, name, info } = request as {
      key?: string;
      name?: string;
      info?: { name?: string };
    };
    const fields = {
      requestId: rpc.cause.requestId,
      method: rpc.method,
      key: shorten(key || info?.name || name || '', loggedKeyLengthMax) || undefined,
      namespace: rpc.cause.namespace,
      status: failed === undefined ? 'OK' : statusName(failed.code),
      durationMs: (clock.nowUs() - outcome.startedAtUs) / 1000,
      ...(failed === undefined ? {} : { reason: failed.details }),
    };
    logger[level ?? 'warn'](fields, `${rpc.method} ${fields.status}`);
  }
}

const unsendable: StatusReply = {
  code: status.INTERNAL,
  details: 'the answer could not be sent: the log of varve serve says why',
};

function streamFailure(error: unknown): StatusReply {
  if (error instanceof ConsumerGone) return { code: status.CANCELLED, details: error.message };
  if (error instanceof ConsumerStalled) {
    return { code: status.RESOURCE_EXHAUSTED, details: `${error.message}: cut off` };
  }
  throw error;
}

/** What a caller did wrong, or what is normal between client and server, is no warning. */
const levels: Readonly<Record<string, 'debug' | 'info' | 'warn'>> = {
  NOT_FOUND: 'debug',
  ALREADY_EXISTS: 'debug',
  CANCELLED: 'debug',
  INVALID_ARGUMENT: 'info',
  FAILED_PRECONDITION: 'info',
  OUT_OF_RANGE: 'info',
  UNIMPLEMENTED: 'info',
};
