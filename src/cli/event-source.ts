// Events from the daemon: a range of them, or all and then every new one. One that was cut off for
// being slow goes on where it stopped.
import { status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import type { Cause, StoredEvent } from '../machines/kernel/envelope.ts';
import type { StatusDocument } from '../server/status-document.ts';
import { eventLogDefinition } from '../server/grpc/definitions.ts';
import type { varve } from '../server/grpc/messages.ts';
import { withStreams } from './admin-client.ts';
import type { AdminClient } from './admin-client.ts';
import { CliFailure, exitCodes } from './exit-codes.ts';

/** Which events are wanted; a position of 0 and empty lists leave a side open. */
export interface EventQuery {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly streams: readonly string[];
  readonly types: readonly string[];
}

/** The trailer with which the daemon cuts off who is too slow, and only then. */
const resumeTrailer = 'varve-resume-after';

type Batches = AsyncGenerator<readonly StoredEvent[]>;
type WireEvent = varve.v1.Event.$Properties;

const filterOf = ({ streams, types }: EventQuery) => ({
  streams: [...streams],
  types: [...types],
});

/** The events of a range, then the end. */
export function readEvents(address: string, query: EventQuery): Batches {
  return withStreams(address, async function* (client) {
    await refuseBeyondEnd(client, query);
    const request = { fromSeq: query.fromSeq, toSeq: query.toSeq, filter: filterOf(query) };
    for await (const { events } of client.answers(eventLogDefinition.read, request)) {
      yield (events ?? []).map(storedEvent);
    }
  });
}

/** The events from a position on, and every new one until the command is interrupted. */
export function followEvents(address: string, query: EventQuery): Batches {
  return withStreams(address, async function* (client) {
    await refuseCompacted(client, query);
    let afterSeq = Math.max(0, query.fromSeq - 1);
    let hasBegun = false;
    while (true) {
      try {
        for await (const { seq, event } of watch(client, query, afterSeq)) {
          afterSeq = Math.max(afterSeq, seq);
          hasBegun = true;
          if (event !== undefined) yield [event];
        }
        throw ended(afterSeq, 'the daemon ended the stream');
      } catch (error) {
        const { code, metadata } = ((error as Error).cause ?? {}) as Partial<ServiceError>;
        const isCutOff = metadata?.get(resumeTrailer).length === 1;
        // Too slow: the daemon keeps nothing for us, the log keeps everything.
        if (code === status.RESOURCE_EXHAUSTED && isCutOff) continue;
        if (code === status.RESOURCE_EXHAUSTED) {
          const { message } = error as Error;
          throw new CliFailure(exitCodes.failure, `${message}: end one, then try again`, error);
        }
        if (code === status.UNAVAILABLE && hasBegun)
          throw ended(afterSeq, (error as Error).message);
        throw error;
      }
    }
  });
}

/** The daemon takes a range that nothing lies in for an empty one. */
async function refuseBeyondEnd(client: AdminClient, { fromSeq, toSeq }: EventQuery): Promise<void> {
  const positions = [fromSeq, toSeq].filter((seq) => seq !== 0);
  if (positions.length === 0) return;
  const { log } = await client.document<StatusDocument>('status');
  for (const position of positions) if (log !== null) refuseAfter(log.lastSeq, position);
}

/** To a Watch, the beginning is the first event that is there, whatever came before it. */
async function refuseCompacted(client: AdminClient, { fromSeq }: EventQuery): Promise<void> {
  if (fromSeq === 0) return;
  const { log } = await client.document<StatusDocument>('status');
  if (log === null) return;
  if (fromSeq > log.lastSeq + 1) refuseAfter(log.lastSeq, fromSeq);
  if (fromSeq >= log.firstSeq) return;
  throw new CliFailure(
    exitCodes.outOfRange,
    `the log begins at ${log.firstSeq}, older events were compacted away: ` +
      `follow it with --from ${log.firstSeq}`,
  );
}

function refuseAfter(lastSeq: number, position: number): void {
  if (position <= lastSeq) return;
  throw new CliFailure(
    exitCodes.outOfRange,
    `position ${position} is not reached yet: the log ends at ${lastSeq}, name one up to there`,
  );
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
