// Hands out snapshot ids. An id is never handed out twice, not even across a crash: blocks are
// reserved durably before their first id leaves, and a start begins above every block and
// directory.
import type { Cause } from '../machines/kernel/envelope.ts';
import { idBlockSize } from '../machines/node/state.ts';
import type { Sequencer } from './sequencer.ts';

export class SnapshotIds {
  readonly #sequencer: Sequencer;
  #next: number;
  #reservedUpTo: number;
  #reservation: Promise<void> | undefined;

  /** `usedUpTo`: no id at or below it is free. */
  constructor(sequencer: Sequencer, usedUpTo: number) {
    this.#sequencer = sequencer;
    this.#next = usedUpTo + 1;
    this.#reservedUpTo = usedUpTo;
  }

  /**
   * The next id, for a call with this cause. Waits only when a block is used up before the next one
   * is durable.
   */
  async take(cause: Cause): Promise<number> {
    if (this.#reservedUpTo - this.#next < idBlockSize / 2) {
      this.#reservation ??= this.#reserve(cause);
      // Ahead of need: whoever does wait for it meets its failure below.
      this.#reservation.catch(() => undefined);
    }
    while (this.#next > this.#reservedUpTo) {
      await (this.#reservation ??= this.#reserve(cause));
    }
    return this.#next++;
  }

  async #reserve(cause: Cause): Promise<void> {
    const fromId = this.#reservedUpTo + 1;
    const upTo = this.#reservedUpTo + idBlockSize;
    const data = { fromId, upTo };
    const seq = this.#sequencer.recordNode([{ type: 'IdsReserved', data }], cause);
    try {
      await this.#sequencer.durableAt(seq);
      this.#reservedUpTo = upTo;
    } finally {
      this.#reservation = undefined;
    }
  }
}
