// Reads the log for Inspect: states at a position, histories of names, the comparison behind
// Verify, the lines of an export. Everything here sees durable events only.
import { firstValueFrom, filter } from 'rxjs';
import type { Engine } from '../engine/api.ts';
import { foldLog } from '../engine/boot.ts';
import {
  LogDamaged,
  OutOfRange,
  type Damage,
  type EventStore,
  type ReadOptions,
} from '../engine/ports.ts';
import { troubleOf, type DeviceTrouble } from '../history/devices-document.ts';
import { HistoryWriter } from '../history/export-file.ts';
import { NameSearch } from '../history/names.ts';
import { findSnapshot } from '../history/snapshot-document.ts';
import { verifyDocument, type VerifyDocument } from '../history/verification.ts';
import { InvariantViolation } from '../machines/kernel/invariant.ts';
import { initialNodeState } from '../machines/node/state.ts';
import { checkpointVersion, liveStreamsOf, type Checkpoint } from '../machines/checkpoint.ts';
import type { StoredEvent } from '../machines/kernel/envelope.ts';
import { Projection } from '../machines/projection.ts';
import { deviceStream } from '../machines/device/events.ts';
import { snapshotStream } from '../machines/snapshot/events.ts';

/** Damaged ranges that one Verify names; after so many it stops looking. */
const damageCountMax = 100;

/** The live state, once every event that it holds is durable. */
export async function durableState(engine: Engine): Promise<Checkpoint> {
  const checkpoint = engine.checkpoint();
  await firstValueFrom(engine.durable.pipe(filter((seq) => seq >= checkpoint.globalSeq)));
  return checkpoint;
}

/** A state, and when its last event was recorded, if that is still there. */
export interface DatedState {
  readonly checkpoint: Checkpoint;
  readonly timeUs: number | undefined;
}

/** The state folded through `atSeq`. */
export async function stateAt(store: EventStore, atSeq: number): Promise<DatedState> {
  if (atSeq > store.lastSeq) throw new PositionBeyondEnd(atSeq, store.lastSeq);
  if (atSeq < store.firstSeq - 1) throw new OutOfRange(store.firstSeq);
  const checkpoint = (await folded(store, atSeq)).toCheckpoint();
  return { checkpoint, timeUs: await timeOf(store, atSeq) };
}

// A history that does not fold is damage that checksums cannot see. It is the log's, not that of
// the live state, which goes on.
async function folded(store: EventStore, toSeq: number): Promise<Projection> {
  try {
    return await foldLog(store, toSeq);
  } catch (error) {
    if (!(error instanceof InvariantViolation)) throw error;
    const { firstSeq: fromSeq } = store;
    throw new LogDamaged({ fromSeq, toSeq, reason: unfoldable(error), streams: [] });
  }
}

const unfoldable = (error: InvariantViolation): string => `it cannot be folded: ${error.message}`;

function applied(projection: Projection, event: StoredEvent): void {
  try {
    projection.apply(event);
  } catch (error) {
    if (!(error instanceof InvariantViolation)) throw error;
    const { globalSeq, stream } = event;
    const range = { fromSeq: globalSeq, toSeq: globalSeq };
    throw new LogDamaged({ ...range, reason: unfoldable(error), streams: [stream] });
  }
}

/** When the event at a position was recorded, if it is still there. */
export async function timeOf(store: EventStore, seq: number): Promise<number | undefined> {
  if (seq < store.firstSeq || seq > store.lastSeq) return undefined;
  for await (const [event] of store.read({ fromSeq: seq, toSeq: seq })) return event?.timeUs;
  return undefined;
}

/** A position after the log's last event. */
export class PositionBeyondEnd extends Error {
  override readonly name = 'PositionBeyondEnd';
  constructor(position: number, lastSeq: number) {
    super(
      `position ${position} is not reached yet: the log ends at ${lastSeq}, name one up to there`,
    );
  }
}

/** Reads on behind whatever an earlier repair has named as lost; other damage is thrown. */
async function* readOverLosses(
  store: EventStore,
  options: ReadOptions,
): AsyncGenerator<readonly StoredEvent[]> {
  let { fromSeq } = options;
  for (;;) {
    try {
      yield* store.read({ ...options, ...(fromSeq === undefined ? {} : { fromSeq }) });
      return;
    } catch (error) {
      if (!(error instanceof LogDamaged) || error.damage.isLost !== true) throw error;
      fromSeq = error.damage.toSeq + 1;
    }
  }
}

/** The events of one stream, as far back as the log has them; what is lost is left out. */
export async function streamEvents(
  store: EventStore,
  stream: string,
  toSeq = store.lastSeq,
): Promise<StoredEvent[]> {
  return await gathered(readOverLosses(store, { stream, toSeq }));
}

/** So far back trouble of devices is looked for: a device of many containers has a long history. */
const troubleWindow = 100_000;

/** The newest trouble of each device of a state, as far as it can be read. */
export async function troublesOf(
  store: EventStore,
  { devices, globalSeq: toSeq }: Checkpoint,
): Promise<ReadonlyMap<number, DeviceTrouble>> {
  const troubles = new Map<number, DeviceTrouble>();
  const fromSeq = Math.max(store.firstSeq, toSeq - troubleWindow);
  for (const { context } of devices) {
    const { deviceId } = context;
    const range = { stream: deviceStream(deviceId), fromSeq, toSeq };
    try {
      for await (const events of readOverLosses(store, range)) {
        const newest = events.map(troubleOf).findLast((trouble) => trouble !== undefined);
        if (newest !== undefined) troubles.set(deviceId, newest);
      }
    } catch (error) {
      // Damage is told of by whoever reads history; what devices are now does not rest on it.
      if (!(error instanceof LogDamaged)) throw error;
    }
  }
  return troubles;
}

async function gathered(parts: AsyncIterable<readonly StoredEvent[]>): Promise<StoredEvent[]> {
  const found: StoredEvent[] = [];
  for await (const events of parts) found.push(...events);
  return found;
}

/** The events of each snapshot that ever bore `wanted`, and other names to suggest. */
export async function historiesOf(
  store: EventStore,
  wanted: string,
  live: Checkpoint,
): Promise<{ readonly streams: StoredEvent[][]; readonly namesSeen: readonly string[] }> {
  const search = new NameSearch(wanted);
  const horizonSeq = store.firstSeq - 1;
  const base = horizonSeq === 0 ? undefined : await baseCheckpoint(store);
  for (const stream of base === undefined ? [] : liveStreamsOf(base)) {
    const events = await streamEvents(store, stream, horizonSeq);
    for (const event of events) search.see(event);
  }
  const { firstSeq: fromSeq } = store;
  for await (const events of readOverLosses(store, { fromSeq })) {
    for (const event of events) search.see(event);
  }
  const ids = new Set(search.snapshotIds);
  // Its naming event may lie before the horizon; then only the state still knows the name.
  const known = findSnapshot(live, wanted);
  if (known !== undefined) ids.add(known.context.snapshotId);
  const streams: StoredEvent[][] = [];
  for (const id of [...ids].sort((left, right) => left - right)) {
    streams.push(await streamEvents(store, snapshotStream(id)));
  }
  return { streams, namesSeen: search.namesSeen };
}

export interface VerifyRequest {
  readonly live: Checkpoint;
  readonly progress: (checkedSeq: number) => Promise<void>;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/**
 * Checks everything that is stored, also what a fold does not read: the events that compaction
 * kept, the index, the records of batches. Folds the history, and compares it with the live state.
 */
export async function verify(store: EventStore, request: VerifyRequest): Promise<VerifyDocument> {
  const { live, progress, signal } = request;
  const scrubbed: Damage[] = [];
  for await (const found of store.scrub(signal, 'full')) scrubbed.push(found);
  const damage: Damage[] = [];
  const lost: Damage[] = [];
  const { foldableFromSeq } = store;
  const projection = await baseState(store);
  let fromSeq = store.firstSeq;
  let checkedEventCount = 0;
  while (fromSeq <= live.globalSeq && damage.length < damageCountMax) {
    try {
      for await (const events of store.read({ fromSeq, toSeq: live.globalSeq })) {
        for (const event of events) {
          const isFoldable = damage.length === 0 && event.globalSeq >= foldableFromSeq;
          if (isFoldable) applied(projection, event);
        }
        checkedEventCount += events.length;
        await progress(events.at(-1)?.globalSeq ?? fromSeq);
      }
      break;
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error;
      (error.damage.isLost === true ? lost : damage).push(error.damage);
      fromSeq = Math.max(error.damage.toSeq, fromSeq) + 1;
    }
  }
  // With events missing only the part after the newest checkpoint can still be compared.
  const comparable =
    damage.length === 0 ? projection : await folded(store, live.globalSeq).catch(notFoldable);
  const isTold = ({ fromSeq, toSeq }: Damage): boolean =>
    scrubbed.some((found) => found.fromSeq <= fromSeq && found.toSeq >= toSeq);
  return verifyDocument({
    folded: comparable?.toCheckpoint() ?? live,
    live,
    firstSeq: foldableFromSeq,
    checkedEventCount,
    damage: [...scrubbed, ...damage.filter((found) => !isTold(found))],
    lost,
  });
}

function notFoldable(error: unknown): undefined {
  if (error instanceof LogDamaged) return undefined;
  throw error;
}

async function baseState(store: EventStore): Promise<Projection> {
  const checkpoint = await baseCheckpoint(store);
  return checkpoint === undefined ? Projection.empty() : Projection.fromCheckpoint(checkpoint);
}

/** The state from which history folds to its end; undefined if it begins at the beginning. */
async function baseCheckpoint(store: EventStore): Promise<Checkpoint | undefined> {
  const baseSeq = store.foldableFromSeq - 1;
  if (baseSeq === 0) return undefined;
  const checkpoint = await store.readCheckpoint(baseSeq);
  if (checkpoint?.globalSeq === baseSeq) return checkpoint;
  const reason = 'the checkpoint that the log goes on from cannot be read';
  throw new LogDamaged({ fromSeq: 1, toSeq: baseSeq, reason, streams: [] });
}

export interface ExportRequest {
  readonly version: string;
  readonly nowUs: number;
  /** The live state: the export ends at its position. Undefined while the log is damaged. */
  readonly live: Checkpoint | undefined;
}

/**
 * The lines of an export, a few at a time. It begins where history folds to its end: what lies
 * before, and before a loss, only for snapshots that were still there. Of a damaged log everything
 * up to the damage, then LogDamaged: what is written is then a history that ends early.
 */
export async function* exportLines(
  store: EventStore,
  request: ExportRequest,
): AsyncGenerator<string> {
  const writer = new HistoryWriter();
  const { foldableFromSeq: firstSeq } = store;
  const lastSeq = request.live?.globalSeq ?? store.lastSeq;
  yield writer.header({
    producer: request.version,
    exportedAtUs: request.nowUs,
    firstSeq,
    lastSeq,
  });
  const checkpoint = await baseCheckpoint(store);
  let damage: Damage | undefined;
  if (checkpoint !== undefined) {
    const retained: StoredEvent[] = [];
    for (const stream of liveStreamsOf(checkpoint)) {
      const { globalSeq: toSeq } = checkpoint;
      const events = await gathered(store.read({ stream, toSeq })).catch(damageOf);
      // A stream of which something is lost is left out, and so is one of which a crash left the
      // end when it was dropped: the checkpoint has its state.
      if ('reason' in events) damage ??= events.isLost === true ? undefined : events;
      else if (events[0]?.revision === 1) retained.push(...events);
    }
    retained.sort((left, right) => left.globalSeq - right.globalSeq);
    yield retained.map((event) => writer.retained(event)).join('');
    yield writer.checkpoint(checkpoint);
  }
  if (lastSeq >= firstSeq) {
    for await (const events of store.read({ fromSeq: firstSeq, toSeq: lastSeq })) {
      yield events.map((event) => writer.event(event)).join('');
    }
  }
  if (damage !== undefined) throw new LogDamaged(damage);
  yield writer.trailer(request.live);
}

function damageOf(error: unknown): Damage {
  if (error instanceof LogDamaged) return error.damage;
  throw error;
}

/** The state of a log that holds nothing. */
export const emptyState: Checkpoint = {
  checkpointVersion,
  globalSeq: 0,
  node: initialNodeState,
  snapshots: [],
  devices: [],
};
