// Reads a history file strictly: kinds in their order, versions, shapes, positions without gaps,
// the hash chain of every stream, the trailer. Anything else is a HistoryFileError that names the
// line.
import { upcastCheckpoint, type Checkpoint } from '../machines/checkpoint.ts';
import { eventVersions, toDomainEvent } from '../machines/event-types.ts';
import type { StoredEvent } from '../machines/kernel/envelope.ts';
import type { DeviceState } from '../machines/device/state.ts';
import type { NodeState } from '../machines/node/state.ts';
import type { SnapshotState } from '../machines/snapshot/state.ts';
import { eventHash, firstPreviousHash } from './event-hash.ts';
import { historyFormat, historyFormatVersion } from './export-file.ts';
import type { HistoryHeader } from './export-file.ts';
import { FileCutShort, fileLines, HistoryFileError } from './export-lines.ts';
import type { FileLine } from './export-lines.ts';
import {
  eventDataShapes,
  eventShape,
  isCount,
  isPosition,
  isText,
  isTimeUs,
  misshapen,
  deviceStateShape,
  nodeStateShape,
  snapshotStateShape,
} from './shapes.ts';
import { printable } from './text.ts';

/** What a file holds, in order. */
export type HistoryEntry =
  | { readonly kind: 'header'; readonly header: HistoryHeader }
  | { readonly kind: 'retained'; readonly event: StoredEvent }
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly kind: 'event'; readonly event: StoredEvent }
  | { readonly kind: 'trailer'; readonly stateSha256: string | null };

/** Yields the entries of a file; throws HistoryFileError at the first that is not valid. */
export async function* readHistory(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<HistoryEntry> {
  const reader = new Reader();
  try {
    for await (const line of fileLines(chunks)) {
      const entry = reader.next(line);
      if (entry !== undefined) yield entry;
    }
    reader.end();
  } catch (error) {
    throw error instanceof FileCutShort ? reader.cutShort(error) : error;
  }
}

interface CheckpointHead {
  readonly head: Omit<Checkpoint, 'snapshots' | 'devices'>;
  readonly snapshotCount: number;
  readonly deviceCount: number;
}

const checkpointHeadShape = {
  checkpointVersion: isCount,
  globalSeq: isCount,
  snapshotCount: isCount,
  // Since checkpoint version 3.
  deviceCount: (value: unknown) => value === undefined || isCount(value),
};

function streamPrefixOf(type: string): string {
  if (type.startsWith('Snapshot')) return 'snapshot-';
  return type.startsWith('Device') ? 'device-' : 'node';
}

interface Chain {
  readonly revision: number;
  /** undefined: known from the checkpoint only. */
  readonly hash: string | undefined;
}

class Reader {
  readonly #chains = new Map<string, Chain>();
  #header: HistoryHeader | undefined;
  #checkpoint: CheckpointHead | undefined;
  #snapshots: SnapshotState[] = [];
  #devices: DeviceState[] = [];
  #retainedSeq = 0;
  /** The last position read; undefined before the first event or checkpoint. */
  #lastSeq: number | undefined;
  #eventCount = 0;
  #isEnded = false;
  #line = 0;

  next(line: FileLine): HistoryEntry | undefined {
    this.#line = line.number;
    const { kind } = line.value;
    if (this.#isEnded) throw this.#wrong('something follows the trailer');
    if (this.#header === undefined) return this.#readHeader(line.value);
    const missing = this.#missingOfCheckpoint();
    if (missing !== undefined ? missing !== kind : kind === 'snapshot' || kind === 'device') {
      const what = missing === 'device' || kind === 'device' ? 'devices' : 'snapshots';
      throw this.#wrong(`the checkpoint’s ${what} are not as many as it says`);
    }
    switch (kind) {
      case 'retained':
        return this.#readRetained(line.value['event']);
      case 'checkpoint':
        return this.#readCheckpoint(line.value);
      case 'snapshot':
        return this.#readSnapshot(line.value['state']);
      case 'device':
        return this.#readDevice(line.value['state']);
      case 'event':
        return this.#readEvent(line.value['event']);
      case 'trailer':
        return this.#readTrailer(line);
      default:
        throw this.#wrong('of a kind that is not known');
    }
  }

  end(): void {
    if (this.#line === 0) throw new HistoryFileError(undefined, 'the file is empty');
    if (!this.#isEnded) throw new FileCutShort(this.#line + 1, 'the file ends early');
  }

  /** The same failure, with how far the file can be replayed all the same. */
  cutShort({ message }: FileCutShort): HistoryFileError {
    const seq = this.#missingOfCheckpoint() === undefined ? (this.#lastSeq ?? 0) : 0;
    const rest =
      seq === 0
        ? 'before anything that can be replayed'
        : `after event ${seq}: --at ${seq} shows the state up to there`;
    return new HistoryFileError(undefined, `${message}, ${rest}`);
  }

  /** Of which kind lines of the checkpoint are still to come. */
  #missingOfCheckpoint(): 'snapshot' | 'device' | undefined {
    const { snapshotCount = 0, deviceCount = 0 } = this.#checkpoint ?? {};
    if (this.#snapshots.length < snapshotCount) return 'snapshot';
    return this.#devices.length < deviceCount ? 'device' : undefined;
  }

  #readHeader(value: Readonly<Record<string, unknown>>): HistoryEntry {
    if (value['kind'] !== 'header' || value['format'] !== historyFormat) {
      throw this.#wrong('not a history that varve export wrote');
    }
    if (value['version'] !== historyFormatVersion) {
      throw this.#wrong(
        `format version ${printable(String(value['version']))} is not known: ` +
          'use the varve that wrote it, or a newer one',
      );
    }
    this.#expect(value, {
      producer: isText,
      exportedAtUs: isTimeUs,
      firstSeq: isPosition,
      lastSeq: isCount,
    });
    this.#header = value as unknown as HistoryHeader;
    if (this.#header.firstSeq === 1) this.#lastSeq = 0;
    return { kind: 'header', header: this.#header };
  }

  #readCheckpoint(value: Readonly<Record<string, unknown>>): HistoryEntry | undefined {
    if (this.#checkpoint !== undefined || this.#eventCount > 0) {
      throw this.#wrong('a checkpoint stands only before the events');
    }
    this.#expect(value, checkpointHeadShape);
    this.#expect(value['node'], nodeStateShape);
    const globalSeq = value['globalSeq'] as number;
    if (globalSeq !== (this.#header as HistoryHeader).firstSeq - 1) {
      throw this.#wrong('the checkpoint does not stand where the events begin');
    }
    const checkpointVersion = value['checkpointVersion'] as number;
    const head = { checkpointVersion, globalSeq, node: value['node'] as NodeState };
    if (upcastCheckpoint({ ...head, snapshots: [], devices: [] }) === undefined) {
      throw this.#wrong('a checkpoint of a version that is not known');
    }
    const snapshotCount = value['snapshotCount'] as number;
    const deviceCount = (value['deviceCount'] ?? 0) as number;
    this.#checkpoint = { head, snapshotCount, deviceCount };
    this.#lastSeq = globalSeq;
    this.#joinChain('node', head.node.revision);
    return this.#finishedCheckpoint();
  }

  #readSnapshot(state: unknown): HistoryEntry | undefined {
    this.#expect(state, snapshotStateShape);
    const snapshot = state as SnapshotState;
    const previous = this.#snapshots.at(-1)?.context.snapshotId ?? 0;
    if (snapshot.context.snapshotId <= previous) {
      throw this.#wrong('the checkpoint’s snapshots are not in the order of their ids');
    }
    this.#snapshots.push(snapshot);
    this.#joinChain(`snapshot-${snapshot.context.snapshotId}`, snapshot.revision);
    return this.#finishedCheckpoint();
  }

  #readDevice(state: unknown): HistoryEntry | undefined {
    this.#expect(state, deviceStateShape);
    const device = state as DeviceState;
    const previous = this.#devices.at(-1)?.context.deviceId ?? 0;
    if (device.context.deviceId <= previous) {
      throw this.#wrong('the checkpoint’s devices are not in the order of their ids');
    }
    this.#devices.push(device);
    this.#joinChain(`device-${device.context.deviceId}`, device.revision);
    return this.#finishedCheckpoint();
  }

  #finishedCheckpoint(): HistoryEntry | undefined {
    if (this.#checkpoint === undefined || this.#missingOfCheckpoint() !== undefined) {
      return undefined;
    }
    const { head } = this.#checkpoint;
    const checkpoint = { ...head, snapshots: this.#snapshots, devices: this.#devices };
    return { kind: 'checkpoint', checkpoint };
  }

  #readRetained(value: unknown): HistoryEntry {
    const event = this.#checkedEvent(value);
    const { firstSeq } = this.#header as HistoryHeader;
    if (this.#checkpoint !== undefined || this.#eventCount > 0) {
      throw this.#wrong('retained events stand only before the checkpoint');
    }
    if (event.globalSeq <= this.#retainedSeq || event.globalSeq >= firstSeq) {
      throw this.#wrong(`event ${event.globalSeq} is out of order`);
    }
    this.#checkChain(event);
    this.#retainedSeq = event.globalSeq;
    return { kind: 'retained', event };
  }

  #readEvent(value: unknown): HistoryEntry {
    if (this.#lastSeq === undefined) throw this.#wrong('an event before the checkpoint');
    const event = this.#checkedEvent(value);
    if (event.globalSeq !== this.#lastSeq + 1) {
      throw this.#wrong(`event ${event.globalSeq} follows ${this.#lastSeq}: some are missing`);
    }
    this.#checkChain(event);
    this.#lastSeq = event.globalSeq;
    this.#eventCount += 1;
    return { kind: 'event', event };
  }

  #readTrailer(line: FileLine): HistoryEntry {
    const { value } = line;
    const header = this.#header as HistoryHeader;
    this.#expect(value, { eventCount: isCount, sha256: isText });
    if (
      this.#lastSeq === undefined ||
      value['eventCount'] !== this.#eventCount ||
      this.#lastSeq !== header.lastSeq
    ) {
      throw this.#wrong('the trailer counts other events than the file holds');
    }
    if (value['sha256'] !== line.hashBefore()) {
      throw this.#wrong('the trailer’s hash is not that of the file: it was altered');
    }
    this.#isEnded = true;
    const stateSha256 = value['stateSha256'];
    return { kind: 'trailer', stateSha256: typeof stateSha256 === 'string' ? stateSha256 : null };
  }

  #checkedEvent(value: unknown): StoredEvent {
    this.#expect(value, eventShape);
    const event = value as StoredEvent;
    const newest = Object.hasOwn(eventVersions, event.type) ? eventVersions[event.type] : undefined;
    if (newest === undefined || event.schemaVersion > newest) {
      throw this.#wrong(
        `event ${event.globalSeq} is of type ${printable(event.type)} version ` +
          `${event.schemaVersion}, which is not known: use the varve that wrote it, or a newer one`,
      );
    }
    if (!event.stream.startsWith(streamPrefixOf(event.type))) {
      throw this.#wrong(`event ${event.globalSeq} stands in a stream of another kind`);
    }
    const shape = eventDataShapes[event.type as keyof typeof eventDataShapes];
    this.#expect(toDomainEvent(event).data, shape, `event ${event.globalSeq}: `);
    return event;
  }

  #checkChain(event: StoredEvent): void {
    const chain = this.#chains.get(event.stream);
    const expectedRevision = (chain?.revision ?? 0) + 1;
    if (event.revision !== expectedRevision) {
      throw this.#wrong(
        `event ${event.globalSeq} is revision ${event.revision} of ${event.stream}, ` +
          `not ${expectedRevision}`,
      );
    }
    const expectedHash = chain === undefined ? firstPreviousHash : chain.hash;
    const isLinked = expectedHash === undefined || expectedHash === event.previousHash;
    if (!isLinked || eventHash(event, event.previousHash) !== event.hash) {
      throw this.#wrong(`event ${event.globalSeq} breaks the hash chain of ${event.stream}`);
    }
    this.#chains.set(event.stream, { revision: event.revision, hash: event.hash });
  }

  /** The checkpoint's revision of a stream: the events that follow must continue from it. */
  #joinChain(stream: string, revision: number): void {
    const retained = this.#chains.get(stream);
    if (retained !== undefined && retained.revision !== revision) {
      throw this.#wrong(`the checkpoint and the retained events of ${stream} do not meet`);
    }
    this.#chains.set(stream, { revision, hash: retained?.hash });
  }

  #expect(value: unknown, shape: Parameters<typeof misshapen>[1], where = ''): void {
    const field = misshapen(value, shape);
    if (field !== undefined) throw this.#wrong(`${where}the field ${field} is not valid`);
  }

  #wrong(reason: string): HistoryFileError {
    return new HistoryFileError(this.#line, reason);
  }
}
