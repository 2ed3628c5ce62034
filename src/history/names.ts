// Which snapshots ever bore a key or name: also those that are removed. A key may come back for
// another snapshot, so the answer is a list of ids.
import type { RecordedEvent } from '../machines/kernel/envelope.ts';
import { snapshotStream } from '../machines/snapshot/events.ts';
import { snapshotIdOf } from './snapshot-document.ts';
import { quoted } from './text.ts';

/** Collects, event by event, the ids that `wanted` (a key, a name or `#<id>`) stands for. */
export class NameSearch {
  readonly #wanted: string;
  readonly #ids = new Set<number>();
  readonly #namesSeen = new Set<string>();
  readonly #namesMax: number;

  /** `namesMax` bounds how many other names are kept to suggest the nearest. */
  constructor(wanted: string, namesMax = 20_000) {
    this.#wanted = wanted;
    this.#namesMax = namesMax;
  }

  /** Looks at the next event. */
  see(event: RecordedEvent): void {
    const id = streamSnapshotId(event.stream);
    if (id === undefined) return;
    if (snapshotIdOf(this.#wanted) === id) this.#ids.add(id);
    const data = event.data as { readonly key?: unknown; readonly name?: unknown };
    for (const name of [data.key, data.name]) {
      if (typeof name !== 'string') continue;
      if (name === this.#wanted) this.#ids.add(id);
      if (this.#namesSeen.size < this.#namesMax) this.#namesSeen.add(name);
    }
  }

  /** The ids found, in order. */
  get snapshotIds(): readonly number[] {
    return [...this.#ids].sort((left, right) => left - right);
  }

  /** The streams of the ids found. */
  get streams(): readonly string[] {
    return this.snapshotIds.map(snapshotStream);
  }

  /** Names that were seen, to suggest one when nothing was found. */
  get namesSeen(): readonly string[] {
    return [...this.#namesSeen];
  }
}

/** What is said of a name that no event since `firstSeq` tells of; `lister` shows what there is. */
export function neverSeenText(
  wanted: string,
  { firstSeq, nearest, lister }: { firstSeq: number; nearest: string | undefined; lister: string },
): string {
  const since = firstSeq === 1 ? '' : ` since position ${firstSeq}, where the history begins`;
  const hint =
    nearest === undefined
      ? `; ${lister} lists what there is`
      : `; did you mean ${quoted(nearest)}?`;
  return `no snapshot has or had the key or name ${quoted(wanted.slice(0, 200))}${since}${hint}`;
}

/** The snapshot id of a stream `snapshot-<id>`. */
export function streamSnapshotId(stream: string): number | undefined {
  const match = /^snapshot-(\d{1,15})$/.exec(stream);
  return match === null ? undefined : Number(match[1]);
}
