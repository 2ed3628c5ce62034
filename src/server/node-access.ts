// What the services can reach at a given moment: the engine once boot is over, the log even when it
// is damaged, and the sentence that says why something cannot be answered.
import type { Engine } from '../engine/api.ts';
import type { Damage, EventStore } from '../engine/ports.ts';
import {
  accepted,
  rejected,
  type RejectionCode,
  type Result,
} from '../machines/kernel/rejection.ts';

export type NodeCondition =
  | { readonly phase: 'starting' }
  | { readonly phase: 'serving'; readonly engine: Engine }
  | {
      readonly phase: 'damaged';
      readonly reason: string;
      readonly damage: readonly Damage[];
      readonly store: EventStore | undefined;
    }
  /** The log cannot be opened before there is room on the disk. */
  | { readonly phase: 'disk-full'; readonly reason: string }
  | { readonly phase: 'stopping'; readonly engine: Engine | undefined };

/** The node's condition, set by the composition root and read by the services. */
export class NodeAccess {
  #condition: NodeCondition = { phase: 'starting' };
  readonly #stopping = new AbortController();

  get condition(): NodeCondition {
    return this.#condition;
  }

  /** Aborted when the server stops: open Watches end. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Moves on to `condition`. */
  become(condition: NodeCondition): void {
    this.#condition = condition;
    if (condition.phase === 'stopping') this.#stopping.abort();
  }

  /** The engine, or why there is none, as containerd understands it: call again later. */
  engine(): Result<Engine> {
    return this.#engineOr('unavailable');
  }

  /** The same for the admin services, which say that the log is damaged. */
  adminEngine(): Result<Engine> {
    return this.#engineOr('data_loss');
  }

  #engineOr(codeOfDamage: RejectionCode): Result<Engine> {
    const condition = this.#condition;
    switch (condition.phase) {
      case 'serving':
        return accepted(condition.engine);
      case 'starting':
        return rejected('unavailable', 'varve is starting: call again in a moment');
      case 'stopping':
        return rejected('unavailable', 'varve is stopping: call again later');
      case 'disk-full':
        return rejected('unavailable', condition.reason);
      case 'damaged':
        return rejected(codeOfDamage, condition.reason);
    }
  }

  /** The log, also while it is damaged: what is whole can still be read. */
  store(): Result<EventStore> {
    const condition = this.#condition;
    if (condition.phase === 'damaged' && condition.store !== undefined) {
      return accepted(condition.store);
    }
    const engine = this.adminEngine();
    return engine.ok ? accepted(engine.value.store) : engine;
  }
}
