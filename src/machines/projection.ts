// The node's whole state, folded from the log: every snapshot that is not yet gone, the catalog of
// names, the devices, and the node itself. Replay is `apply` alone; it cannot cause an effect.
import { invariant, WrittenByNewer } from './kernel/invariant.ts';
import type { RecordedEvent } from './kernel/envelope.ts';
import { Catalog } from './catalog/catalog.ts';
import {
  checkpointVersion,
  upcastCheckpoint,
  type Checkpoint,
  type StoredCheckpoint,
} from './checkpoint.ts';
import { deviceIdOf, type DeviceEvent } from './device/events.ts';
import { evolveDevice, unknownDevice } from './device/evolve.ts';
import { isAbsent, type DeviceState } from './device/state.ts';
import { isDeviceEvent, isNodeEvent, toDomainEvent } from './event-types.ts';
import { evolveNode } from './node/evolve.ts';
import { initialNodeState, type NodeState } from './node/state.ts';
import { absentSnapshot, evolveSnapshot } from './snapshot/evolve.ts';
import { snapshotIdOf, type SnapshotEvent } from './snapshot/events.ts';
import type { SnapshotState } from './snapshot/state.ts';

/** Folds events in order; one that does not follow the last throws. */
export class Projection {
  readonly catalog = new Catalog();
  readonly #devices = new Map<number, DeviceState>();
  #node: NodeState = initialNodeState;
  #globalSeq = 0;

  static empty(): Projection {
    return new Projection();
  }

  static fromCheckpoint(stored: StoredCheckpoint): Projection {
    const checkpoint = upcastCheckpoint(stored);
    if (checkpoint === undefined) {
      throw new WrittenByNewer(`checkpoint version ${stored.checkpointVersion}`);
    }
    const projection = new Projection();
    projection.#node = checkpoint.node;
    projection.#globalSeq = checkpoint.globalSeq;
    for (const state of checkpoint.snapshots) projection.catalog.set(state);
    for (const state of checkpoint.devices) projection.#devices.set(state.context.deviceId, state);
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

  /** Every device of which something is known or left. */
  get devices(): ReadonlyMap<number, DeviceState> {
    return this.#devices;
  }

  /** The device of the snapshot with this id; undefined if it never had one, or both are gone. */
  device(deviceId: number): DeviceState | undefined {
    return this.#devices.get(deviceId);
  }

  /** Revision of the newest event of a stream that was folded in; 0 for none. */
  revisionOf(stream: string): number {
    const snapshotId = snapshotIdOf(stream);
    if (snapshotId !== undefined) return this.snapshot(snapshotId)?.revision ?? 0;
    const deviceId = deviceIdOf(stream);
    return deviceId === undefined ? this.#node.revision : (this.device(deviceId)?.revision ?? 0);
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
    else if (isDeviceEvent(event)) this.#setDevice(this.#evolveDevice(event));
    else this.#setSnapshot(this.#evolve(event));
    this.#globalSeq = recorded.globalSeq;
  }

  #evolve(event: SnapshotEvent): SnapshotState {
    const snapshotId = idOf(event.stream);
    const state = this.catalog.get(snapshotId) ?? absentSnapshot;
    const next = evolveSnapshot(state, event);
    invariant(next.context.snapshotId === snapshotId, `${event.stream} holds its own snapshot`);
    return next;
  }

  #setSnapshot(next: SnapshotState): void {
    this.catalog.set(next);
    const device = this.#devices.get(next.context.snapshotId);
    if (device !== undefined) this.#setDevice(device);
  }

  #evolveDevice(event: DeviceEvent): DeviceState {
    const deviceId = deviceIdOf(event.stream);
    invariant(deviceId !== undefined, `${event.stream} is not a device's stream`);
    const next = evolveDevice(this.#devices.get(deviceId) ?? unknownDevice, event);
    invariant(next.context.deviceId === deviceId, `${event.stream} holds its own device`);
    return next;
  }

  // Its stream goes on for as long as its snapshot can lead to another attach.
  #setDevice(next: DeviceState): void {
    const { deviceId, leases } = next.context;
    const isOver =
      isAbsent(next) && leases.length === 0 && this.catalog.get(deviceId) === undefined;
    if (isOver) this.#devices.delete(deviceId);
    else this.#devices.set(deviceId, next);
  }

  toCheckpoint(): Checkpoint {
    const snapshots = [...this.catalog.states.values()];
    snapshots.sort((a, b) => a.context.snapshotId - b.context.snapshotId);
    const devices = [...this.#devices.values()];
    devices.sort((a, b) => a.context.deviceId - b.context.deviceId);
    return { checkpointVersion, globalSeq: this.#globalSeq, node: this.#node, snapshots, devices };
  }
}

function idOf(stream: string): number {
  const snapshotId = snapshotIdOf(stream);
  invariant(snapshotId !== undefined, `${stream} is not a snapshot's stream`);
  return snapshotId;
}
