// Watch: the log followed from a position. Each Watch reads with its own cursor and is woken by the
// durable position, so a slow one holds nothing back and needs no buffer. `position` is the last
// event that was written or did not match: where the consumer resumes, whatever ends the stream. It
// has none until its initial state is complete.
import { Metadata, status } from '@grpc/grpc-js';
import { stateDocumentTexts } from '../../history/state-document.ts';
import { OutOfRange, type Clock } from '../../engine/ports.ts';
import type { Engine } from '../../engine/api.ts';
import { accepted, rejected, type Result } from '../../machines/kernel/rejection.ts';
import { timeOf } from '../history-reader.ts';
import type { NodeAccess } from '../node-access.ts';
import { ContentParts } from './content-parts.ts';
import { fromSeq, toEvent } from './convert.ts';
import { eventMatcher, type EventMatcher } from './event-filter.ts';
import { eventBytes } from './event-log-service.ts';
import {
  bookmarkIntervalDefaultMs,
  bookmarkIntervalMinMs,
  concurrentWatchesMax,
  stalledConsumerMs,
} from './limits.ts';
import { ConsumerStalled, type MessageStream } from './message-stream.ts';
import type { varve } from './messages.ts';
import { statusOfError, type StatusReply } from './status.ts';

type WatchRequest = varve.v1.WatchRequest.$Properties;
type WatchResponse = varve.v1.WatchResponse.$Properties;

/** The trailer that names the position to resume after. */
export const resumeTrailer = 'varve-resume-after';

/** Serves Watches, at most `concurrentWatchesMax` at a time. */
export class WatchHandler {
  readonly #node: NodeAccess;
  readonly #clock: Clock;
  #openCount = 0;

  constructor(node: NodeAccess, clock: Clock) {
    this.#node = node;
    this.#clock = clock;
  }

  /** Follows the log until the consumer goes, stalls, or the server stops. */
  async watch(
    request: WatchRequest,
    stream: MessageStream<WatchResponse>,
  ): Promise<Result<void> | StatusReply> {
    const engine = this.#node.adminEngine();
    if (!engine.ok) return engine;
    const afterSeq = fromSeq(request.afterSeq, 'after_seq');
    if (!afterSeq.ok) return afterSeq;
    if (this.#openCount >= concurrentWatchesMax) {
      return rejected('resource_exhausted', `${concurrentWatchesMax} Watches are open already`);
    }
    const interval = request.bookmarkIntervalMs || bookmarkIntervalDefaultMs;
    this.#openCount += 1;
    // Counted until the stream is closed: one that was cut off still holds what it did not take.
    stream.onGone(() => (this.#openCount -= 1));
    const watch = new OneWatch(engine.value, {
      stream,
      clock: this.#clock,
      stopping: this.#node.stopping,
      matcher: eventMatcher(request.filter),
      bookmarkIntervalMs: Math.max(interval, bookmarkIntervalMinMs),
    });
    return watch.run(afterSeq.value, request.initialState === true);
  }
}

interface WatchOptions {
  readonly stream: MessageStream<WatchResponse>;
  readonly clock: Clock;
  readonly stopping: AbortSignal;
  readonly matcher: EventMatcher;
  readonly bookmarkIntervalMs: number;
}

class OneWatch {
  readonly #engine: Engine;
  readonly #options: WatchOptions;
  #position = 0;
  #hasPosition = false;
  #durableSeq = 0;
  #wake: (() => void) | undefined;

  constructor(engine: Engine, options: WatchOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  async run(afterSeq: number, withState: boolean): Promise<Result<void> | StatusReply> {
    const { stream, stopping } = this.#options;
    const wake = (): void => this.#wake?.();
    stream.onGone(wake);
    stopping.addEventListener('abort', wake);
    const durable = this.#engine.durable.subscribe((seq) => {
      this.#durableSeq = seq;
      wake();
    });
    try {
      const { store } = this.#engine;
      this.#durableSeq = Math.max(this.#durableSeq, store.lastSeq);
      if (withState) await this.#sendState();
      else this.#begin(afterSeq);
      return await this.#follow();
    } catch (error) {
      return this.#ended(error);
    } finally {
      durable.unsubscribe();
      stopping.removeEventListener('abort', wake);
    }
  }

  /** Where the following begins; 0 asks for all that there is. */
  #begin(afterSeq: number): void {
    const { store } = this.#engine;
    if (afterSeq !== 0 && afterSeq + 1 < store.firstSeq) throw new OutOfRange(store.firstSeq);
    if (afterSeq > store.lastSeq) {
      throw new BeyondTheEnd(
        `the log ends at ${store.lastSeq}, before ${afterSeq}: this is not the history that you ` +
          'followed, or it was rebuilt; begin again with initial_state',
      );
    }
    this.#beginAt(afterSeq === 0 ? store.firstSeq - 1 : afterSeq);
  }

  #beginAt(position: number): void {
    this.#position = position;
    this.#hasPosition = true;
  }

  /** Sends the state once all that it holds is durable, since only that survives a crash. */
  async #sendState(): Promise<void> {
    const checkpoint = this.#engine.checkpoint();
    const { globalSeq } = checkpoint;
    while (this.#durableSeq < globalSeq && !this.#isOver) await this.#woken(undefined);
    const parts = new ContentParts(async (content, isLast) => {
      // Written counts as sent: what is pending is still delivered before the stream's end.
      if (isLast) this.#beginAt(globalSeq);
      const initialState = { globalSeq, content, isLast };
      await this.#options.stream.write({ initialState }, content.length);
    });
    const timeUs = await timeOf(this.#engine.store, globalSeq);
    for (const text of stateDocumentTexts(checkpoint, timeUs)) {
      if (this.#isOver) return;
      await parts.add(text);
    }
    await parts.end();
  }

  get #isOver(): boolean {
    return this.#options.stream.isGone || this.#options.stopping.aborted;
  }

  async #follow(): Promise<Result<void> | StatusReply> {
    const { clock, bookmarkIntervalMs } = this.#options;
    let bookmarkDueUs = clock.nowUs() + bookmarkIntervalMs * 1000;
    for (;;) {
      if (this.#options.stream.isGone) return accepted(undefined);
      if (this.#options.stopping.aborted) {
        return this.#reply(status.UNAVAILABLE, 'varve is stopping');
      }
      const sent = this.#position < this.#durableSeq ? await this.#sendNew() : false;
      const nowUs = clock.nowUs();
      if (sent) bookmarkDueUs = nowUs + bookmarkIntervalMs * 1000;
      if (this.#position < this.#durableSeq) continue;
      if (nowUs >= bookmarkDueUs) {
        await this.#options.stream.write({ bookmark: { globalSeq: this.#position } }, 16);
        bookmarkDueUs = nowUs + bookmarkIntervalMs * 1000;
      }
      // Asked again, without a pause before the wait: the bookmark may have taken a while.
      if (this.#isOver || this.#position < this.#durableSeq) continue;
      await this.#woken(Math.ceil((bookmarkDueUs - nowUs) / 1000));
    }
  }

  /** Sends what is durable and not yet sent; answers whether anything was. */
  async #sendNew(): Promise<boolean> {
    const { stream, matcher } = this.#options;
    const toSeq = this.#durableSeq;
    let hasSent = false;
    // By position, also for one stream: the log proves the end of a stream that is removed only by
    // reading all of the log.
    for await (const events of this.#engine.store.read({ fromSeq: this.#position + 1, toSeq })) {
      for (const event of events) {
        if (this.#isOver) return hasSent;
        if (matcher.matches(event)) {
          const wire = toEvent(event);
          // Written counts as sent: what is pending is still delivered before the stream's end.
          this.#position = event.globalSeq;
          hasSent = true;
          await stream.write({ event: wire }, eventBytes(wire));
        }
        this.#position = event.globalSeq;
      }
    }
    this.#position = toSeq;
    return hasSent;
  }

  /** Waits for a newer durable position, the end, or `timeoutMs`. */
  async #woken(timeoutMs: number | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel =
        timeoutMs === undefined
          ? undefined
          : this.#options.clock.after(Math.max(timeoutMs, 1), resolve);
      this.#wake = () => {
        cancel?.();
        resolve();
      };
    });
    this.#wake = undefined;
  }

  #ended(error: unknown): StatusReply {
    if (error instanceof ConsumerStalled) {
      return this.#reply(
        status.RESOURCE_EXHAUSTED,
        `cut off: nothing was taken for ${stalledConsumerMs} ms`,
      );
    }
    if (error instanceof BeyondTheEnd) {
      return { code: status.OUT_OF_RANGE, details: error.message };
    }
    const { isFatal, ...reply } = statusOfError(error);
    if (isFatal || reply.code === status.INTERNAL) throw error;
    return reply;
  }

  #reply(code: status, reason: string): StatusReply {
    if (!this.#hasPosition) return { code, details: `${reason}; begin again with initial_state` };
    const metadata = new Metadata();
    metadata.set(resumeTrailer, String(this.#position));
    return { code, details: `${reason}; resume after ${this.#position}`, metadata };
  }
}

/** The consumer's position lies after the log's last event. */
class BeyondTheEnd extends Error {
  override readonly name = 'BeyondTheEnd';
}
