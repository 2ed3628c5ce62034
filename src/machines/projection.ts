// The node's whole state, folded from the log: every snapshot that is not yet gone, the catalog of
// names, and the node itself. Replay is `apply` alone; it cannot cause an effect.
import { invariant, WrittenByNewer } from './kernel/invariant.ts';
import type { RecordedEvent } from './kernel/envelope.ts';
import { Catalog } from './catalog/catalog.ts';
import { checkpointVersion, upcastCheckpoint, type Checkpoint } from './checkpoint.ts';
import { isNodeEvent, toDomainEvent } from './event-types.ts';
import { evolveNode } from './node/evolve.ts';
import { initialNodeState, type NodeState } from './node/state.ts';
import { absentSnapshot, evolveSnapshot } from './snapshot/evolve.ts';
import { snapshotIdOf, type SnapshotEvent } from './snapshot/events.ts';
import type { SnapshotState } from './snapshot/state.ts';

/** Folds events in order; one that does not follow the last throws. */
export class Projection {
  readonly catalog = new Catalog();
  #node: NodeState = initialNodeState;
  #globalSeq = 0;

  static empty(): Projection {
    return new Projection();
  }

  static fromCheckpoint(stored: Checkpoint): Projection {
    const checkpoint = upcastCheckpoint(stored);
    if (checkpoint === undefined) {
      throw new WrittenByNewer(`checkpoint version ${stored.checkpointVersion}`);
    }
    const projection = new Projection();
    projection.#node = checkpoint.node;
    projection.#globalSeq = checkpoint.globalSeq;
    for (const state of checkpoint.snapshots) projection.catalog.set(state);
    return projection;
  }

  /** Position of the newest event folded in; 0 for none. */
  get globalSeq(): number {
    return this.#globalSeq;
  }

  get node(): NodeState {
    return this.#node;
  }

  /** The snapshot with this id, if it is not yet gone. */
  snapshot(snapshotId: number): SnapshotState | undefined {
    return this.catalog.get(snapshotId);
  }

  /** The snapshot that clients see under this key or name. */
  find(name: string): SnapshotState | undefined {
    return this.catalog.find(name);
  }

  apply(recorded: RecordedEvent): void {
    invariant(
      recorded.globalSeq === this.#globalSeq + 1,
      `event ${recorded.globalSeq} follows ${this.#globalSeq}`,
    );
    const event = toDomainEvent(recorded);
    if (isNodeEvent(event)) this.#node = evolveNode(this.#node, event);
    else this.catalog.set(this.#evolve(event));
    this.#globalSeq = recorded.globalSeq;
  }

  #evolve(event: SnapshotEvent): SnapshotState {
    const snapshotId = idOf(event.stream);
    const state = this.catalog.get(snapshotId) ?? absentSnapshot;
    const next = evolveSnapshot(state, event);
    invariant(next.context.snapshotId === snapshotId, `${event.stream} holds its own snapshot`);
    return next;
  }

  toCheckpoint(): Checkpoint {
    const snapshots = [...this.catalog.states.values()];
    snapshots.sort((a, b) => a.context.snapshotId - b.context.snapshotId);
    return { checkpointVersion, globalSeq: this.#globalSeq, node: this.#node, snapshots };
  }
}

function idOf(stream: string): number {
  const snapshotId = snapshotIdOf(stream);
  invariant(snapshotId !== undefined, `${stream} is not a snapshot's stream`);
  return snapshotId;
}
