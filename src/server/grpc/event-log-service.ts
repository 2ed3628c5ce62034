// varve.v1.EventLog: Read answers a range of the log; the Watch is in watch.ts.
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import {
  LogDamaged,
  OutOfRange,
  type Clock,
  type EventStore,
  type ReadOptions,
} from '../../engine/ports.ts';
import { accepted, rejected, type Result } from '../../machines/kernel/rejection.ts';
import type { NodeAccess } from '../node-access.ts';
import { fromSeq, toEvent } from './convert.ts';
import { eventMatcher } from './event-filter.ts';
import { readBatchBytes, readBatchCount } from './limits.ts';
import type { MessageStream } from './message-stream.ts';
import type { varve } from './messages.ts';
import type { RpcRunner } from './rpc.ts';
import { WatchHandler } from './watch.ts';

type ReadRequest = varve.v1.ReadRequest.$Properties;
type ReadResponse = varve.v1.ReadResponse.$Properties;
type WireEvent = varve.v1.Event.$Properties;

/** The handlers of the service. */
export function eventLogService(
  runner: RpcRunner,
  node: NodeAccess,
  clock: Clock,
): UntypedServiceImplementation {
  const watches = new WatchHandler(node, clock);
  return {
    read: runner.streamed('Read', (request: ReadRequest, stream: MessageStream<ReadResponse>) => {
      const store = node.store();
      return store.ok ? read(store.value, request, stream) : Promise.resolve(store);
    }),
    watch: runner.streamed(
      'Watch',
      (
        request: varve.v1.WatchRequest.$Properties,
        stream: MessageStream<varve.v1.WatchResponse.$Properties>,
      ) => watches.watch(request, stream),
    ),
  };
}

async function read(
  store: EventStore,
  request: ReadRequest,
  stream: MessageStream<ReadResponse>,
): Promise<Result<void>> {
  const range = readRange(request);
  if (!range.ok) return range;
  const { fromSeq = store.firstSeq } = range.value.options;
  // Read by its index, one stream alone would tell what compaction kept of it, and hide the rest.
  if (fromSeq < store.firstSeq) {
    return rejected('out_of_range', new OutOfRange(store.firstSeq).message);
  }
  const filter = eventMatcher(request.filter);
  const limit = range.value.limit === 0 ? Infinity : range.value.limit;
  const options: ReadOptions =
    filter.stream === undefined
      ? range.value.options
      : { ...range.value.options, stream: filter.stream };
  let batch: WireEvent[] = [];
  let batchBytes = 0;
  let count = 0;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    const events = batch;
    const sizeBytes = batchBytes;
    batch = [];
    batchBytes = 0;
    await stream.write({ events }, sizeBytes);
  };
  try {
    reading: for await (const events of store.read(options)) {
      for (const event of events) {
        if (!filter.matches(event)) continue;
        const wire = toEvent(event);
        batch.push(wire);
        batchBytes += eventBytes(wire);
        count += 1;
        if (batch.length >= readBatchCount || batchBytes >= readBatchBytes) await flush();
        if (count >= limit) break reading;
      }
    }
  } catch (error) {
    // What lies before the damage is sound.
    if (error instanceof LogDamaged) await flush();
    throw error;
  }
  await flush();
  return accepted(undefined);
}

function readRange(
  request: ReadRequest,
): Result<{ readonly options: ReadOptions; readonly limit: number }> {
  const from = fromSeq(request.fromSeq, 'from_seq');
  if (!from.ok) return from;
  const to = fromSeq(request.toSeq, 'to_seq');
  if (!to.ok) return to;
  const limit = fromSeq(request.limit, 'limit');
  if (!limit.ok) return limit;
  if (to.value !== 0 && from.value > to.value) {
    return rejected('invalid_argument', `the range from ${from.value} to ${to.value} is empty`);
  }
  return accepted({
    options: {
      ...(from.value === 0 ? {} : { fromSeq: from.value }),
      ...(to.value === 0 ? {} : { toSeq: to.value }),
    },
    limit: limit.value,
  });
}

/** About the size of an event on the wire. */
export const eventBytes = (event: WireEvent): number => (event.dataJson?.length ?? 0) + 256;
