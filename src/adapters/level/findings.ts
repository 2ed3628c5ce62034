// What a check of the log finds, gathered: what touches is one finding, and whose the positions are
// is asked of the index once for all of them, since that reads the whole index.
import type { Damage, SeqRange } from '../../engine/ports.ts';
import type { Database } from './database.ts';
import { streamsInEach } from './stream-index.ts';

export type Found = SeqRange & { readonly reason: string };

/** Ranges that are named one by one; what more there is becomes one range. */
const rangesMax = 100;

/** The findings of one pass. */
export class Findings {
  readonly #found: Found[] = [];
  /** By reason, the place of the finding that the next one may continue. */
  readonly #lastByReason = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#found.length === 0;
  }

  add(next: Found): void {
    const place = this.#lastByReason.get(next.reason) ?? -1;
    const last = this.#found[place];
    if (last !== undefined && next.fromSeq <= last.toSeq + 1 && next.toSeq >= last.fromSeq - 1) {
      const fromSeq = Math.min(last.fromSeq, next.fromSeq);
      this.#found[place] = { ...last, fromSeq, toSeq: Math.max(last.toSeq, next.toSeq) };
    } else {
      this.#lastByReason.set(next.reason, this.#found.push(next) - 1);
    }
  }

  addAll(found: Iterable<Found>): void {
    for (const each of found) this.add(each);
  }

  /** In the order of positions. */
  #named(): Found[] {
    const sorted = [...this.#found].sort((a, b) => a.fromSeq - b.fromSeq);
    const rest = sorted.slice(rangesMax - 1);
    const [first] = rest;
    if (first === undefined || rest.length === 1) return sorted;
    const { fromSeq } = first;
    const toSeq = rest.reduce((max, each) => Math.max(max, each.toSeq), 0);
    const reason = `damaged in ${rest.length} places`;
    return [...sorted.slice(0, rangesMax - 1), { fromSeq, toSeq, reason }];
  }

  /** With the streams touched, as far as the index still tells. */
  async described(database: Database): Promise<Damage[]> {
    const found = this.#named();
    if (found.length === 0) return [];
    const streams = await streamsInEach(database, found);
    return found.map(({ fromSeq, toSeq, reason }, place) => {
      return { fromSeq, toSeq, reason, streams: streams[place] ?? [] };
    });
  }
}
