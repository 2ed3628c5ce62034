// Cleanup: frees what was removed, and answers when nothing of it is left.
import type { Projection } from '../machines/projection.ts';
import { accepted, type Rejection, type Result } from '../machines/kernel/rejection.ts';
import type { Call } from './api.ts';
import type { Dispatcher } from './dispatcher.ts';
import { failureRejection } from './effect-failure.ts';
import type { Sequencer } from './sequencer.ts';

export interface CleanupOptions {
  readonly projection: Projection;
  readonly sequencer: Sequencer;
  readonly dispatcher: Dispatcher;
}

export class Cleanup {
  readonly #options: CleanupOptions;

  constructor(options: CleanupOptions) {
    this.#options = options;
  }

  /** Every deletion gets one attempt at least after this call began. */
  async run(call: Call): Promise<Result<void>> {
    const { projection, sequencer, dispatcher } = this.#options;
    const attempts: Promise<Rejection | undefined>[] = [];
    let seq = 0;
    for (const state of [...projection.catalog.states.values()]) {
      const { snapshotId } = state.context;
      const { lifecycle } = state.value;
      if (lifecycle !== 'removeDeferred' && lifecycle !== 'removing') continue;
      if (lifecycle === 'removing') dispatcher.hurry(snapshotId);
      else {
        const event = { type: 'SnapshotRemoveStarted', data: {} };
        seq = sequencer.recordSnapshot(snapshotId, [event], call.cause);
      }
      attempts.push(this.#deleted(snapshotId));
    }
    await sequencer.durableAt(seq);
    const ended = await Promise.all(attempts);
    const rejection = ended.find((one) => one !== undefined);
    return rejection === undefined ? accepted(undefined) : { ok: false, rejection };
  }

  /** Why the deletion in flight left something; undefined if it did not. */
  async #deleted(snapshotId: number): Promise<Rejection | undefined> {
    const { projection, dispatcher } = this.#options;
    const operation = projection.snapshot(snapshotId)?.context.operation;
    const deleted = dispatcher.settled(snapshotId, operation?.operationId);
    // The directory goes after the device, which somebody may use for as long as he likes.
    const { failure } = (await dispatcher.deviceInTheWay(snapshotId)) ?? (await deleted);
    if (failure === null) return undefined;
    const what = `the directory of removed snapshot #${snapshotId} remains`;
    return failureRejection(what, failure);
  }
}
