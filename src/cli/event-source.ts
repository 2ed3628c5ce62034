// Events from the daemon: a range of them, or all and then every new one. One that was cut off for
// being slow goes on where it stopped.
import { status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import type { Cause, StoredEvent } from '../machines/kernel/envelope.ts';
import { eventLogDefinition } from '../server/grpc/definitions.ts';
import type { varve } from '../server/grpc/messages.ts';
import { withStreams } from './admin-client.ts';
import type { AdminClient } from './admin-client.ts';
import { CliFailure, exitCodes } from './exit-codes.ts';

/** Which events are wanted; 0 and empty lists leave a side open. */
export interface EventQuery {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly streams: readonly string[];
  readonly types: readonly string[];
}

type Batches = AsyncGenerator<readonly StoredEvent[]>;
type WireEvent = varve.v1.Event.$Properties;

const filterOf = ({ streams, types }: EventQuery) => ({
  streams: [...streams],
  types: [...types],
});

/** The events of a range, then the end. */
export function readEvents(address: string, query: EventQuery): Batches {
  return withStreams(address, async function* (client) {
    const request = { fromSeq: query.fromSeq, toSeq: query.toSeq, filter: filterOf(query) };
    for await (const { events } of client.answers(eventLogDefinition.read, request)) {
      yield (events ?? []).map(storedEvent);
    }
  });
}

/** The events from a position on, and every new one until the command is interrupted. */
export function followEvents(address: string, query: EventQuery): Batches {
  return withStreams(address, async function* (client) {
    let afterSeq = Math.max(0, query.fromSeq - 1);
    while (true) {
      try {
        for await (const { seq, event } of watch(client, query, afterSeq)) {
          afterSeq = Math.max(afterSeq, seq);
          if (event !== undefined) yield [event];
        }
        throw ended(afterSeq, 'the daemon ended the stream');
      } catch (error) {
        const { cause, message } = error as Error;
        // Too slow: the daemon keeps nothing for us, the log keeps everything.
        if ((cause as Partial<ServiceError> | undefined)?.code === status.RESOURCE_EXHAUSTED)
          continue;
        if ((cause as Partial<ServiceError> | undefined)?.code !== status.UNAVAILABLE) throw error;
        throw ended(afterSeq, message);
      }
    }
  });
}

async function* watch(
  client: AdminClient,
  query: EventQuery,
  afterSeq: number,
): AsyncGenerator<{ readonly seq: number; readonly event?: StoredEvent }> {
  const request = { afterSeq, filter: filterOf(query) };
  for await (const { event, bookmark } of client.answers(eventLogDefinition.watch, request)) {
    if (event !== undefined && event !== null) {
      yield { seq: event.globalSeq ?? 0, event: storedEvent(event) };
    } else yield { seq: bookmark?.globalSeq ?? 0 };
  }
}

function ended(afterSeq: number, reason: string): CliFailure {
  return new CliFailure(
    exitCodes.unreachable,
    `${reason}: go on with varve events --follow --from ${afterSeq + 1}`,
  );
}

function storedEvent(event: WireEvent): StoredEvent {
  const { kind, method, requestId, namespace } = event.cause ?? {};
  return {
    globalSeq: event.globalSeq ?? 0,
    stream: event.stream ?? '',
    revision: event.revision ?? 0,
    type: event.type ?? '',
    schemaVersion: event.schemaVersion ?? 0,
    timeUs: event.timeUs ?? 0,
    cause: {
      kind: (kind ?? '') as Cause['kind'],
      ...present('method', method),
      ...present('requestId', requestId),
      ...present('namespace', namespace),
    },
    data: JSON.parse(event.dataJson ?? 'null') as unknown,
    previousHash: event.previousHash ?? '',
    hash: event.hash ?? '',
  };
}

// proto3 has no absent text: '' stands for it.
function present<Name extends string>(
  name: Name,
  text: string | null | undefined,
): { readonly [Key in Name]?: string } {
  return text === undefined || text === null || text === ''
    ? {}
    : ({ [name]: text } as { readonly [Key in Name]: string });
}
