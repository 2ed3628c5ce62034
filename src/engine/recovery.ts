// Puts right what a start found: goes on with what was in flight, takes away devices of which
// nothing is known, deletes directories of nobody. All of it beside the calls that are served.
import type { Projection } from '../machines/projection.ts';
import { causeAt, recovery, removeOrphans } from './boot.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { BlockDevices, Clock, EventStore, Logger, SnapshotDirectories } from './ports.ts';
import type { Sequencer } from './sequencer.ts';
import type { StartPlan } from './start-plan.ts';
import { Strays } from './strays.ts';

export interface RecoveryOptions {
  readonly plan: StartPlan;
  readonly projection: Projection;
  readonly sequencer: Sequencer;
  readonly store: EventStore;
  readonly directories: SnapshotDirectories;
  readonly blockDevices: BlockDevices;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly dispatcher: () => Dispatcher;
}

export class Recovery {
  /** What is in the way of what is owed to the same snapshots and devices. */
  readonly strays: Strays;
  readonly #options: RecoveryOptions;
  #orphansRemoved: Promise<void> = Promise.resolve();

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.strays = new Strays({ ...options, onRest: (deviceId) => this.#goOn(deviceId) });
  }

  begin(): void {
    const { plan, store, dispatcher } = this.#options;
    this.strays.begin(plan.devices.strays);
    for (const state of plan.boot.inFlight) {
      dispatcher().resume(state, () => causeAt(store, state.lastSeq));
    }
    this.#removeOrphans(plan.boot.orphans.filter((id) => !this.strays.has(id)));
  }

  /** Resolves when what the start found has ended, or has failed once and is tried again. */
  async ended(): Promise<void> {
    const { plan, projection, clock } = this.#options;
    const dispatcher = this.#options.dispatcher();
    await this.strays.tried();
    await this.#orphansRemoved;
    const snapshots = plan.boot.inFlight
      .map(({ context }) => context.snapshotId)
      .filter((snapshotId) => !this.strays.has(snapshotId));
    await Promise.all([
      ...snapshots.map((snapshotId) => dispatcher.snapshotAtRest(snapshotId)),
      ...[...projection.devices.keys()].map((deviceId) =>
        dispatcher.deviceAtRest(deviceId, clock.nowUs()),
      ),
    ]);
  }

  stop(): void {
    this.strays.stop();
  }

  /** Nothing is being done to a stray device: what waited for that need not wait any more. */
  #goOn(deviceId: number): void {
    const { plan, projection, sequencer, store } = this.#options;
    const dispatcher = this.#options.dispatcher();
    const device = projection.device(deviceId);
    const snapshot = projection.snapshot(deviceId);
    // What is not durable yet comes to the dispatcher by itself.
    if (device !== undefined && device.lastSeq <= sequencer.durableSeq) {
      dispatcher.resumeDevice(device, () => causeAt(store, device.lastSeq));
    }
    if (snapshot !== undefined && snapshot.lastSeq <= sequencer.durableSeq) {
      dispatcher.resume(snapshot, () => causeAt(store, snapshot.lastSeq));
    }
    const isOrphan = plan.boot.orphans.includes(deviceId);
    if (isOrphan && !this.strays.has(deviceId)) this.#removeOrphans([deviceId]);
  }

  #removeOrphans(orphans: readonly number[]): void {
    const { directories, logger, sequencer } = this.#options;
    const removed = removeOrphans(orphans, directories, logger).then((snapshotIds) => {
      if (snapshotIds.length === 0 || sequencer.isOver) return;
      sequencer.recordNode([{ type: 'OrphansRemoved', data: { snapshotIds } }], recovery);
    });
    this.#orphansRemoved = Promise.all([this.#orphansRemoved, removed]).then(() => undefined);
  }
}
