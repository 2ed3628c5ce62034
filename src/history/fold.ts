// Folds a history file: the state at a position, the events, the histories of names. The file is
// read once, entry by entry; of its events only what was asked for is kept.
import type { Checkpoint } from '../machines/checkpoint.ts';
import type { StoredEvent } from '../machines/kernel/envelope.ts';
import { Projection } from '../machines/projection.ts';
import { shapesOf } from '../machines/checkpoint.ts';
import { stateHash } from './export-file.ts';
import type { HistoryHeader } from './export-file.ts';
import { HistoryFileError } from './export-lines.ts';
import type { HistoryEntry } from './export-reader.ts';

/** The state of a history at one of its positions. */
export interface FoldedState {
  readonly checkpoint: Checkpoint;
  /** When the last event was recorded; undefined if the state is the file's own checkpoint. */
  readonly timeUs: number | undefined;
}

export interface FoldResult {
  readonly header: HistoryHeader;
  /** The states at the positions that were asked for, in the order of asking. */
  readonly states: readonly FoldedState[];
  readonly foldedEventCount: number;
  /** Whether the fold is the state that the node had; undefined if the file does not say. */
  readonly isAsRecorded: boolean | undefined;
}

export interface FoldRequest {
  /** Positions to keep the state of; 'end' is the last one of the file. */
  readonly positions: readonly (number | 'end')[];
  /** Called with every event, also the retained ones. */
  readonly onEvent?: (event: StoredEvent) => void;
}

/** Thrown when a position is not within what the file holds. */
export class PositionOutOfRange extends Error {
  override readonly name = 'PositionOutOfRange';
  readonly firstSeq: number;
  readonly lastSeq: number;
  constructor(position: number, range: { readonly firstSeq: number; readonly lastSeq: number }) {
    super(
      `position ${position} is not in this history: ` +
        `name one from ${Math.max(range.firstSeq, 1)} to ${range.lastSeq}`,
    );
    this.firstSeq = range.firstSeq;
    this.lastSeq = range.lastSeq;
  }
}

/**
 * Folds the entries of a file. When every position asked for is a number, reading stops at the
 * highest of them: a file that was cut later can still be replayed up to there.
 */
export async function foldHistory(
  entries: AsyncIterable<HistoryEntry>,
  request: FoldRequest,
): Promise<FoldResult> {
  const folder = new Folder(request);
  for await (const entry of entries) {
    folder.take(entry);
    if (folder.isDone) break;
  }
  return folder.result();
}

class Folder {
  readonly #request: FoldRequest;
  readonly #kept = new Map<number, FoldedState>();
  readonly #lastWanted: number;
  #header: HistoryHeader | undefined;
  #projection = Projection.empty();
  #timeUs: number | undefined;
  #eventCount = 0;
  #isAsRecorded: boolean | undefined;

  constructor(request: FoldRequest) {
    this.#request = request;
    this.#lastWanted = Math.max(
      0,
      ...request.positions.map((position) => (position === 'end' ? Infinity : position)),
    );
  }

  get isDone(): boolean {
    return (
      this.#header !== undefined &&
      this.#projection.globalSeq >= this.#lastWanted &&
      this.#kept.size > 0 &&
      this.#lastWanted !== Infinity
    );
  }

  take(entry: HistoryEntry): void {
    switch (entry.kind) {
      case 'header':
        this.#begin(entry.header);
        return;
      case 'checkpoint':
        this.#projection = legally('the checkpoint', () =>
          Projection.fromCheckpoint(entry.checkpoint),
        );
        this.#keep();
        return;
      case 'retained':
        this.#request.onEvent?.(entry.event);
        return;
      case 'event':
        this.#apply(entry.event);
        return;
      case 'trailer':
        if (entry.stateSha256 !== null) {
          const shapes = shapesOf(this.#projection.toCheckpoint());
          this.#isAsRecorded = shapes.some((shape) => stateHash(shape) === entry.stateSha256);
        }
    }
  }

  result(): FoldResult {
    const end = { checkpoint: this.#projection.toCheckpoint(), timeUs: this.#timeUs };
    return {
      header: this.#header as HistoryHeader,
      states: this.#request.positions.map((position) =>
        position === 'end' ? end : (this.#kept.get(position) ?? end),
      ),
      foldedEventCount: this.#eventCount,
      isAsRecorded: this.#isAsRecorded,
    };
  }

  #begin(header: HistoryHeader): void {
    this.#header = header;
    const range = { firstSeq: Math.max(header.firstSeq - 1, 0), lastSeq: header.lastSeq };
    for (const position of this.#request.positions) {
      if (position !== 'end' && (position < range.firstSeq || position > range.lastSeq)) {
        throw new PositionOutOfRange(position, range);
      }
    }
    if (header.firstSeq === 1) this.#keep();
  }

  #apply(event: StoredEvent): void {
    this.#request.onEvent?.(event);
    legally(`event ${event.globalSeq}`, () => this.#projection.apply(event));
    this.#timeUs = event.timeUs;
    this.#eventCount += 1;
    this.#keep();
  }

  #keep(): void {
    const { globalSeq } = this.#projection;
    if (!this.#request.positions.includes(globalSeq)) return;
    this.#kept.set(globalSeq, {
      checkpoint: this.#projection.toCheckpoint(),
      timeUs: this.#timeUs,
    });
  }
}

// In a log an illegal step is a broken invariant; in a file from elsewhere it is a bad file.
function legally<Value>(what: string, step: () => Value): Value {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new HistoryFileError(undefined, `${what} is not legal: ${error.message}`);
  }
}
