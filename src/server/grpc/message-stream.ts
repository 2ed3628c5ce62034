// The writing end of a streamed answer, bounded: at most `pendingBytesMax` wait for the consumer.
// One that takes nothing for `stalledConsumerMs` is cut off by ConsumerStalled; one that went away
// ends the handler by ConsumerGone.
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { Clock } from '../../engine/ports.ts';
import { stalledConsumerMs } from './limits.ts';

/** Bytes that may wait in this process for one consumer, beside HTTP/2's own window. */
const pendingBytesMax = 256 * 1024;

/** The consumer took nothing for too long. */
export class ConsumerStalled extends Error {
  override readonly name = 'ConsumerStalled';
}

/** The consumer cancelled or its connection broke. */
export class ConsumerGone extends Error {
  override readonly name = 'ConsumerGone';
}

type WritableCall<Message> = Pick<
  ServerWritableStream<unknown, Message>,
  'on' | 'write' | 'cancelled'
>;

/** Writes messages no faster than the consumer takes them. */
export class MessageStream<Message> {
  readonly #call: WritableCall<Message>;
  readonly #clock: Clock;
  readonly #onGone: (() => void)[] = [];
  #pendingBytes = 0;
  #isGone = false;
  #wake: (() => void) | undefined;

  constructor(call: WritableCall<Message>, clock: Clock) {
    this.#call = call;
    this.#clock = clock;
    this.#call.on('cancelled', () => this.#leave());
    this.#call.on('close', () => this.#leave());
  }

  /** Whether nobody receives any more. */
  get isGone(): boolean {
    return this.#isGone || this.#call.cancelled;
  }

  /** Calls back once when the consumer has gone. */
  onGone(callback: () => void): void {
    if (this.isGone) callback();
    else this.#onGone.push(callback);
  }

  /** Writes one message of about `sizeBytes`, and waits while too much is pending. */
  async write(message: Message, sizeBytes: number): Promise<void> {
    if (this.isGone) throw new ConsumerGone('the consumer has gone');
    this.#pendingBytes += sizeBytes;
    this.#call.write(message, () => {
      this.#pendingBytes -= sizeBytes;
      this.#wake?.();
    });
    while (this.#pendingBytes > pendingBytesMax) await this.#progress();
  }

  async #progress(): Promise<void> {
    const outcome = await new Promise<'taken' | 'stalled'>((resolve) => {
      const cancel = this.#clock.after(stalledConsumerMs, () => resolve('stalled'));
      this.#wake = () => {
        cancel();
        resolve('taken');
      };
    });
    this.#wake = undefined;
    if (this.isGone) throw new ConsumerGone('the consumer has gone');
    if (outcome === 'stalled') {
      throw new ConsumerStalled(`the consumer took nothing for ${stalledConsumerMs} ms`);
    }
  }

  #leave(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#wake?.();
    for (const callback of this.#onGone.splice(0)) callback();
  }
}
