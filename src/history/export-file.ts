// A node's history as lines of JSON, to be read on another machine: a header, older events of
// streams that live on (`retained`), the checkpoint that the rest folds from, all later events, a
// trailer. The trailer counts the events and hashes every byte before it, so that a cut file is
// recognised. Stored format: a changed line is a new version in the header.
import { createHash } from 'node:crypto';
import type { Checkpoint, StoredCheckpoint } from '../machines/checkpoint.ts';
import type { StoredEvent } from '../machines/kernel/envelope.ts';

export const historyFormat = 'varve-history';
/** Newest version of the format. Stored. */
export const historyFormatVersion = 1;

export interface HistoryHeader {
  /** Version of the varve that wrote the file. */
  readonly producer: string;
  /** When it was written, microseconds since the epoch. */
  readonly exportedAtUs: number;
  /** First and last position that the events cover; lastSeq is firstSeq - 1 if there are none. */
  readonly firstSeq: number;
  readonly lastSeq: number;
}

/** Writes the lines in order; each method answers the text to append to the file. */
export class HistoryWriter {
  readonly #hash = createHash('sha256');
  #eventCount = 0;

  /** The first line. */
  header(header: HistoryHeader): string {
    return this.#line({
      kind: 'header',
      format: historyFormat,
      version: historyFormatVersion,
      ...header,
    });
  }

  /** An event before the checkpoint, of a stream that lived on; before `checkpoint`, in order. */
  retained(event: StoredEvent): string {
    return this.#line({ kind: 'retained', event });
  }

  /**
   * The state at firstSeq - 1; left out when the events begin at 1. A line for each snapshot, then
   * for each device.
   */
  checkpoint(checkpoint: Checkpoint): string {
    const { snapshots, devices, ...rest } = checkpoint;
    const counts = { snapshotCount: snapshots.length, deviceCount: devices.length };
    return [
      this.#line({ kind: 'checkpoint', ...rest, ...counts }),
      ...snapshots.map((state) => this.#line({ kind: 'snapshot', state })),
      ...devices.map((state) => this.#line({ kind: 'device', state })),
    ].join('');
  }

  /** The next event. */
  event(event: StoredEvent): string {
    this.#eventCount += 1;
    return this.#line({ kind: 'event', event });
  }

  /** The last line. With `live`, the node's own state at lastSeq, a reader can compare its fold. */
  trailer(live?: Checkpoint): string {
    const trailer = {
      kind: 'trailer',
      eventCount: this.#eventCount,
      stateSha256: live === undefined ? null : stateHash(live),
      sha256: this.#hash.copy().digest('hex'),
    };
    return `${JSON.stringify(trailer)}\n`;
  }

  #line(value: object): string {
    const line = `${JSON.stringify(value)}\n`;
    this.#hash.update(line);
    return line;
  }
}

/** A hash of a state that does not depend on the order of fields. */
export function stateHash(checkpoint: StoredCheckpoint): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(checkpoint)))
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([name, member]) => [name, sorted(member)]));
}
