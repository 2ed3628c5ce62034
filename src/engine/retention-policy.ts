// How far history is due to be dropped. Dropping is recorded by an event of its own, so it must
// never be due for what dropping itself leaves behind: only the end of a snapshot, or very many
// events of the node, make it worth while. And it is due in portions, not event by event.
import { nodeStream } from '../machines/node/events.ts';
import { endsSnapshot } from '../machines/snapshot/events.ts';
import { nodeEventsWorthDropping, retentionSlackRatio } from './limits.ts';
import type { StoredEvent } from '../machines/kernel/envelope.ts';
import type { Clock, EventStore } from './ports.ts';

export interface RetentionLimits {
  readonly maxAgeMs: number;
  readonly maxEventCount: number;
}

/** What a look at the oldest part of the log found; later looks go on from there. */
interface Examined {
  /** The horizon then: another one makes the finding void. */
  readonly firstSeq: number;
  throughSeq: number;
  nodeEventCount: number;
  /** The first end of a snapshot: with it history of that snapshot can go. */
  firstEnd: { readonly globalSeq: number; readonly timeUs: number } | undefined;
}

export class RetentionPolicy {
  readonly #store: EventStore;
  readonly #clock: Clock;
  readonly #limits: RetentionLimits;
  #examined: Examined | undefined;

  constructor(options: { readonly store: EventStore; readonly clock: Clock } & RetentionLimits) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#limits = options;
  }

  /** The last position to drop; undefined while it is not worth while. */
  async dueThrough(): Promise<number | undefined> {
    const { maxAgeMs } = this.#limits;
    const nowUs = this.#clock.nowUs();
    const overCountSeq = this.#overCountSeq();
    const examined = await this.#examine((event) => {
      return event.globalSeq <= overCountSeq || event.timeUs < nowUs - maxAgeMs * 1_000;
    });
    const { throughSeq, nodeEventCount, firstEnd } = examined;
    const overdueUs = nowUs - maxAgeMs * (1 + retentionSlackRatio) * 1_000;
    const isEndDue =
      firstEnd !== undefined && (firstEnd.globalSeq <= overCountSeq || firstEnd.timeUs < overdueUs);
    return isEndDue || nodeEventCount >= nodeEventsWorthDropping ? throughSeq : undefined;
  }

  /** The last position that is too many, with room made at once for more; 0 for none. */
  #overCountSeq(): number {
    const { firstSeq, lastSeq } = this.#store;
    const { maxEventCount } = this.#limits;
    const isOver = lastSeq - firstSeq + 1 > maxEventCount;
    return isOver ? lastSeq - maxEventCount + Math.floor(maxEventCount * retentionSlackRatio) : 0;
  }

  /** Looks at the events up to the first that is not due. */
  async #examine(isDue: (event: StoredEvent) => boolean): Promise<Examined> {
    const { firstSeq } = this.#store;
    if (this.#examined?.firstSeq !== firstSeq) {
      const nothing = { throughSeq: firstSeq - 1, nodeEventCount: 0, firstEnd: undefined };
      this.#examined = { firstSeq, ...nothing };
    }
    const examined = this.#examined;
    for await (const events of this.#store.read({ fromSeq: examined.throughSeq + 1 })) {
      for (const event of events) {
        if (!isDue(event)) return examined;
        examined.throughSeq = event.globalSeq;
        if (event.stream === nodeStream) examined.nodeEventCount += 1;
        if (endsSnapshot(event.type)) examined.firstEnd ??= event;
      }
    }
    return examined;
  }
}
