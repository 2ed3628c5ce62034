// Reads the log for Inspect: states at a position, histories of names, the comparison behind
// Verify, the lines of an export. Everything here sees durable events only.
import { firstValueFrom, filter } from 'rxjs';
import type { Engine } from '../engine/api.ts';
import { foldLog } from '../engine/boot.ts';
import { LogDamaged, OutOfRange, type Damage, type EventStore } from '../engine/ports.ts';
import { HistoryWriter } from '../history/export-file.ts';
import { NameSearch } from '../history/names.ts';
import { findSnapshot } from '../history/snapshot-document.ts';
import { verifyDocument, type VerifyDocument } from '../history/verification.ts';
import { initialNodeState } from '../machines/node/state.ts';
import { checkpointVersion, type Checkpoint } from '../machines/checkpoint.ts';
import type { StoredEvent } from '../machines/kernel/envelope.ts';
import { Projection } from '../machines/projection.ts';
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
  const checkpoint = (await foldLog(store, atSeq)).toCheckpoint();
  return { checkpoint, timeUs: await timeOf(store, atSeq) };
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
    super(`position ${position} is not reached yet: the log ends at ${lastSeq}`);
  }
}

/** All events of one snapshot, as far back as the log has them. */
export async function streamEvents(store: EventStore, stream: string): Promise<StoredEvent[]> {
  const found: StoredEvent[] = [];
  for await (const events of store.read({ stream })) found.push(...events);
  return found;
}

/** The events of each snapshot that ever bore `wanted`, and other names to suggest. */
export async function historiesOf(
  store: EventStore,
  wanted: string,
  live: Checkpoint,
): Promise<{ readonly streams: StoredEvent[][]; readonly namesSeen: readonly string[] }> {
  const search = new NameSearch(wanted);
  for await (const events of store.read()) for (const event of events) search.see(event);
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

/** Folds everything that the log has, and compares it with the live state. */
export async function verify(
  store: EventStore,
  live: Checkpoint,
  progress: (checkedSeq: number) => Promise<void>,
): Promise<VerifyDocument> {
  const damage: Damage[] = [];
  const { firstSeq } = store;
  const projection = await horizonState(store);
  let fromSeq = firstSeq;
  let checkedEventCount = 0;
  while (fromSeq <= live.globalSeq && damage.length < damageCountMax) {
    try {
      for await (const events of store.read({ fromSeq, toSeq: live.globalSeq })) {
        for (const event of events) if (damage.length === 0) projection.apply(event);
        checkedEventCount += events.length;
        await progress(events.at(-1)?.globalSeq ?? fromSeq);
      }
      break;
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error;
      damage.push(error.damage);
      fromSeq = Math.max(error.damage.toSeq, fromSeq) + 1;
    }
  }
  // With events missing only the part after the newest checkpoint can still be compared.
  const folded =
    damage.length === 0 ? projection : await foldLog(store, live.globalSeq).catch(lost);
  return verifyDocument({
    folded: folded?.toCheckpoint() ?? live,
    live,
    firstSeq,
    checkedEventCount,
    damage,
  });
}

function lost(error: unknown): undefined {
  if (error instanceof LogDamaged) return undefined;
  throw error;
}

async function horizonState(store: EventStore): Promise<Projection> {
  const checkpoint = await horizonCheckpoint(store);
  return checkpoint === undefined ? Projection.empty() : Projection.fromCheckpoint(checkpoint);
}

async function horizonCheckpoint(store: EventStore): Promise<Checkpoint | undefined> {
  return store.firstSeq === 1 ? undefined : store.readCheckpoint(store.firstSeq - 1);
}

export interface ExportRequest {
  readonly version: string;
  readonly nowUs: number;
  /** The live state: the export ends at its position. Undefined while the log is damaged. */
  readonly live: Checkpoint | undefined;
}

/** The lines of an export, a few at a time. */
export async function* exportLines(
  store: EventStore,
  request: ExportRequest,
): AsyncGenerator<string> {
  const writer = new HistoryWriter();
  const { firstSeq } = store;
  const lastSeq = request.live?.globalSeq ?? store.lastSeq;
  yield writer.header({
    producer: request.version,
    exportedAtUs: request.nowUs,
    firstSeq,
    lastSeq,
  });
  const checkpoint = await horizonCheckpoint(store);
  if (checkpoint !== undefined) {
    for (const event of await retainedEvents(store, checkpoint)) yield writer.retained(event);
    yield writer.checkpoint(checkpoint);
  }
  if (lastSeq >= firstSeq) {
    for await (const events of store.read({ fromSeq: firstSeq, toSeq: lastSeq })) {
      yield events.map((event) => writer.event(event)).join('');
    }
  }
  yield writer.trailer(request.live);
}

/** What is left of the events before the horizon, of streams that lived on, in order. */
async function retainedEvents(
  store: EventStore,
  checkpoint: Checkpoint,
): Promise<readonly StoredEvent[]> {
  const retained: StoredEvent[] = [];
  const ids = checkpoint.snapshots.map((state) => state.context.snapshotId);
  for (const stream of ['node', ...ids.map(snapshotStream)]) {
    const toSeq = checkpoint.globalSeq;
    for await (const events of store.read({ stream, toSeq })) retained.push(...events);
  }
  return retained.sort((left, right) => left.globalSeq - right.globalSeq);
}

/** The state of a log that holds nothing. */
export const emptyState: Checkpoint = {
  checkpointVersion,
  globalSeq: 0,
  node: initialNodeState,
  snapshots: [],
};
