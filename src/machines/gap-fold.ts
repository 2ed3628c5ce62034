// Folds a log of which events are missing, for `varve repair`. A stream goes on over a gap where
// its machine takes the next event. Where it does not, or where names, parents or the directories
// on disk contradict it, the snapshot is given up: it is better not known than known wrongly.
import { Catalog } from './catalog/catalog.ts';
import { checkpointVersion, upcastCheckpoint, type Checkpoint } from './checkpoint.ts';
import { deviceIdOf, type DeviceEvent } from './device/events.ts';
import { evolveDevice, isLegalForDevice, unknownDevice } from './device/evolve.ts';
import type { DeviceState } from './device/state.ts';
import { isDeviceEvent, isNodeEvent, toDomainEvent } from './event-types.ts';
import type { RecordedEvent } from './kernel/envelope.ts';
import { invariant, WrittenByNewer } from './kernel/invariant.ts';
import { evolveNode } from './node/evolve.ts';
import { idBlockSize, initialNodeState, type NodeState } from './node/state.ts';
import { snapshotIdOf, type SnapshotEvent } from './snapshot/events.ts';
import { absentSnapshot, evolveSnapshot, isLegal } from './snapshot/evolve.ts';
import { kindOf, type SnapshotState } from './snapshot/state.ts';

/** A snapshot whose state cannot be told any more. */
export interface GivenUpSnapshot {
  readonly snapshotId: number;
  /** The key or name that it bore last, as far as known; '' if that was lost, too. */
  readonly key: string;
  /** A clause: `its name belongs to #12 since`. */
  readonly reason: string;
}

export class GapFold {
  readonly #catalog = new Catalog();
  readonly #devices = new Map<number, DeviceState>();
  readonly #givenUp = new Map<number, GivenUpSnapshot>();
  #node: NodeState = initialNodeState;
  #snapshotIdMax = 0;

  /** `base`: the state before the first event that is folded; undefined: nothing. */
  constructor(base: Checkpoint | undefined) {
    if (base === undefined) return;
    const checkpoint = upcastCheckpoint(base);
    if (checkpoint === undefined) {
      throw new WrittenByNewer(`checkpoint version ${base.checkpointVersion}`);
    }
    this.#node = checkpoint.node;
    for (const state of checkpoint.snapshots) this.#catalog.set(state);
    for (const state of checkpoint.devices) this.#devices.set(state.context.deviceId, state);
  }

  /** Snapshots that were given up, by id; those that are gone anyway are not among them. */
  get givenUp(): readonly GivenUpSnapshot[] {
    return [...this.#givenUp.values()].sort((a, b) => a.snapshotId - b.snapshotId);
  }

  /**
   * No id above this one can have been handed out, when so many events are missing: each may have
   * handed out an id, or reserved a block of them.
   */
  idsReservedUpTo(missingEventCount: number): number {
    const seen = Math.max(this.#snapshotIdMax, this.#node.idsReservedUpTo);
    return seen + (missingEventCount + 1) * idBlockSize;
  }

  /** Takes the next event that is there; positions and revisions may jump, but only upwards. */
  apply(recorded: RecordedEvent): void {
    const event = toDomainEvent(recorded);
    if (isNodeEvent(event)) {
      // Each is a fact of its own: what is missing between them contradicts none.
      this.#node = evolveNode({ ...this.#node, revision: event.revision - 1 }, event);
    } else if (isDeviceEvent(event)) {
      this.#applyToDevice(event);
    } else {
      this.#applyToSnapshot(event);
    }
  }

  // What cannot be told of a device, the machine itself shows at the next start: it counts as
  // absent, and its stream goes on.
  #applyToDevice(event: DeviceEvent): void {
    const deviceId = deviceIdOf(event.stream);
    invariant(deviceId !== undefined, `${event.stream} is not a device's stream`);
    this.#snapshotIdMax = Math.max(this.#snapshotIdMax, deviceId);
    const known = this.#devices.get(deviceId) ?? unknownDevice;
    const state = { ...known, revision: event.revision - 1 };
    const next = isLegalForDevice(state, event)
      ? evolveDevice(state, event)
      : { ...unknownDevice, revision: event.revision, lastSeq: event.globalSeq };
    const context = { ...next.context, deviceId };
    this.#devices.set(deviceId, { ...next, context });
  }

  #applyToSnapshot(event: SnapshotEvent): void {
    const snapshotId = snapshotIdOf(event.stream);
    invariant(snapshotId !== undefined, `${event.stream} is not a snapshot's stream`);
    this.#snapshotIdMax = Math.max(this.#snapshotIdMax, snapshotId);
    const known = this.#catalog.get(snapshotId) ?? absentSnapshot;
    if (event.type === 'SnapshotRemoved') {
      // Whatever was lost before it, nothing is left of this snapshot.
      this.#givenUp.delete(snapshotId);
      this.#forget(known);
      return;
    }
    if (this.#givenUp.has(snapshotId)) return;
    const state = { ...known, revision: event.revision - 1 };
    if (!isLegal(state, event)) {
      this.#giveUp(
        snapshotId,
        `event ${event.globalSeq} cannot follow what is left of its history`,
      );
      return;
    }
    const next = evolveSnapshot(state, event);
    this.#takeName(next);
    this.#catalog.set(next);
  }

  // A name has one owner: if it has been given away, the former owner's end is among what was lost.
  #takeName(next: SnapshotState): void {
    if (kindOf(next) === undefined) return;
    const { snapshotId, key } = next.context;
    const owner = this.#catalog.find(key);
    if (owner === undefined || owner.context.snapshotId === snapshotId) return;
    this.#giveUp(owner.context.snapshotId, `its name belongs to #${snapshotId} since`);
  }

  #giveUp(snapshotId: number, reason: string): void {
    const state = this.#catalog.get(snapshotId);
    this.#givenUp.set(snapshotId, { snapshotId, key: state?.context.key ?? '', reason });
    if (state !== undefined) this.#forget(state);
  }

  #forget(state: SnapshotState): void {
    if (state === absentSnapshot) return;
    this.#catalog.set({ ...state, value: { ...state.value, lifecycle: 'removed' } });
  }

  /**
   * Gives up what cannot be as the events say: snapshots without their directory, and those whose
   * parent is not known to be committed. `directoryIds`: the directories found; undefined if they
   * could not be looked at.
   */
  settle(directoryIds: ReadonlySet<number> | undefined): void {
    for (const state of [...this.#catalog.states.values()]) {
      const { snapshotId } = state.context;
      if (directoryIds?.has(snapshotId) === false && kindOf(state) !== undefined) {
        this.#giveUp(snapshotId, 'its directory is gone');
      }
    }
    let wasAnyGivenUp = true;
    while (wasAnyGivenUp) {
      wasAnyGivenUp = false;
      for (const state of [...this.#catalog.states.values()]) {
        const parentId = this.#lostParentOf(state);
        if (parentId === undefined) continue;
        this.#giveUp(state.context.snapshotId, `its parent #${parentId} is not known as committed`);
        wasAnyGivenUp = true;
      }
    }
  }

  #lostParentOf(state: SnapshotState): number | undefined {
    if (kindOf(state) === undefined) return undefined;
    const { parent, parentId, operation } = state.context;
    const relations = [{ parent, parentId }, ...(operation?.commit ? [operation.commit] : [])];
    for (const relation of relations) {
      if (relation.parentId === null) continue;
      const found = this.#catalog.get(relation.parentId);
      const isThere =
        found?.value.lifecycle === 'committed' && found.context.key === relation.parent;
      if (!isThere) return relation.parentId;
    }
    return undefined;
  }

  /** The state at `globalSeq`, which is at or behind the last event folded. */
  toCheckpoint(globalSeq: number): Checkpoint {
    const snapshots = [...this.#catalog.states.values()];
    snapshots.sort((a, b) => a.context.snapshotId - b.context.snapshotId);
    const devices = [...this.#devices.values()].filter(
      ({ value, context }) =>
        value.attachment !== 'absent' || this.#catalog.get(context.deviceId) !== undefined,
    );
    devices.sort((a, b) => a.context.deviceId - b.context.deviceId);
    return { checkpointVersion, globalSeq, node: this.#node, snapshots, devices };
  }
}
