// The commands of the Snapshots service. Each decides in one synchronous section, with no await
// between reading facts and recording events; effects run outside it and hold no lock.
import { invariant } from '../machines/kernel/invariant.ts';
import {
  accepted,
  rejected,
  type Rejection,
  type RejectionCode,
  type Result,
} from '../machines/kernel/rejection.ts';
import { isInFlight } from '../machines/snapshot/evolve.ts';
import {
  decideCommit,
  decidePrepare,
  decideRemove,
  decideUpdate,
  isRetryOfCommit,
  type PrepareCommand,
  type SnapshotFacts,
  type SnapshotPolicy,
} from '../machines/snapshot/decide.ts';
import type { Cause } from '../machines/kernel/envelope.ts';
import type { Projection } from '../machines/projection.ts';
import { snapshotStream } from '../machines/snapshot/events.ts';
import type { SnapshotEventData } from '../machines/snapshot/events.ts';
import { downloadLabel } from '../machines/snapshot/remote.ts';
import type { SnapshotState } from '../machines/snapshot/state.ts';
import type {
  Call,
  CommitRequest,
  Mount,
  PrepareRequest,
  SnapshotInfo,
  UpdateRequest,
} from './api.ts';
import { effectFailed } from './effect-failure.ts';
import {
  remoteUnpackOf,
  type Names,
  type RemoteUnpack,
  type RemoteUnpacks,
} from './remote-unpacks.ts';
import type { Devices, Ended } from './devices.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { SnapshotIds } from './ids.ts';
import { waiterCountMax } from './limits.ts';
import type { OperatorLeases } from './operator-leases.ts';
import type { CrashPoint, Logger, SnapshotDirectories, SpaceGuard } from './ports.ts';
import type { Queries } from './queries.ts';
import type { Sequencer } from './sequencer.ts';

export interface CommandsOptions {
  readonly projection: Projection;
  readonly sequencer: Sequencer;
  readonly dispatcher: Dispatcher;
  readonly devices: Devices;
  readonly operatorLeases: OperatorLeases;
  readonly queries: Queries;
  readonly ids: SnapshotIds;
  readonly directories: SnapshotDirectories;
  readonly spaceGuard: SpaceGuard;
  readonly crashPoint: CrashPoint;
  readonly logger: Logger;
  readonly policy: SnapshotPolicy;
  readonly remoteUnpacks: RemoteUnpacks;
  readonly asyncRemove: boolean;
}

export class Commands implements SnapshotFacts, Names {
  readonly #options: CommandsOptions;
  // Keys of Prepares whose directory is being made: taken for everyone else, not yet recorded.
  readonly #reservedKeys = new Set<string>();
  readonly #preparing = new Set<number>();

  constructor(options: CommandsOptions) {
    this.#options = options;
  }

  isTaken(name: string): boolean {
    return this.#reservedKeys.has(name) || this.#options.projection.catalog.isTaken(name);
  }

  find(name: string): SnapshotState | undefined {
    return this.#options.projection.find(name);
  }

  blockLayerOf(state: SnapshotState): SnapshotState | undefined {
    return this.#options.projection.catalog.blockLayerOf(state);
  }

  childOf(snapshotId: number): SnapshotState | undefined {
    return this.#options.projection.catalog.childOf(snapshotId);
  }

  /** Prepare and View: the directory first, then the one event that records it. */
  async prepare(
    kind: 'active' | 'view',
    request: PrepareRequest,
    call: Call,
  ): Promise<Result<readonly Mount[]>> {
    const { ids, directories, crashPoint, queries, sequencer } = this.#options;
    const low = this.#refuseIfSpaceIsLow(kind === 'view' ? 'View' : 'Prepare');
    if (low !== undefined) return low;
    const snapshotId = await ids.take(call.cause);
    const { policy, devices } = this.#options;
    const command: PrepareCommand = { kind, snapshotId, ...request, policy };
    const decided = decidePrepare(command, this);
    if (!decided.ok) return this.#refuse(decided.rejection);

    const unpack = remoteUnpackOf(decided.value.data);
    if (unpack !== undefined) return this.#commitRemote(unpack, command, call);
    // A device of its own lies in its directory, and nobody else can want it meanwhile.
    const hasOwnDevice = decided.value.data.writable !== null;
    const leased = hasOwnDevice ? undefined : devices.leaseFor(decided.value.data, call.cause);
    if (leased?.ok === false) return this.#refuse(leased.rejection);
    this.#reservedKeys.add(request.key);
    this.#preparing.add(snapshotId);
    crashPoint('effect:createDirectory:before');
    const { parentId, quotaBytes } = decided.value.data;
    const withWork = kind === 'active';
    const making = directories.create({ snapshotId, withWork, parentId, quotaBytes });
    const [made, attached] = await Promise.all([
      making,
      leased?.value ?? making.then(({ ok }) => this.#ownDevice(ok, decided.value.data, call.cause)),
    ]);
    crashPoint('effect:createDirectory:after');

    this.#reservedKeys.delete(request.key);
    this.#preparing.delete(snapshotId);
    // The parent may have gone while the directory was made, and be the reason why it was not.
    const again = decidePrepare(command, this);
    if (!again.ok) {
      this.#undoPrepare(decided.value.data, call.cause);
      return this.#refuse(again.rejection);
    }
    if (again.value.data.parentId !== decided.value.data.parentId) {
      // Another has come in its place, whose device is another one.
      this.#undoPrepare(decided.value.data, call.cause);
      return this.prepare(kind, request, call);
    }
    const failure = made.ok ? attached.failure : made.failure;
    if (failure !== null) {
      // It may be half made.
      this.#undoPrepare(decided.value.data, call.cause);
      const { role, key, parent } = decided.value.data;
      const data = { snapshotId, role, key, parent, failure };
      const seq = sequencer.recordSnapshot(
        snapshotId,
        [{ type: 'SnapshotPrepareFailed', data }],
        call.cause,
      );
      await sequencer.durableAt(seq);
      return effectFailed(`snapshot ${JSON.stringify(key)} could not be prepared`, failure);
    }
    const seq = sequencer.recordSnapshot(snapshotId, [again.value], call.cause);
    const state = this.#options.projection.snapshot(snapshotId);
    invariant(state !== undefined, 'a snapshot that was just recorded exists');
    const mounts = queries.mountsOf(state);
    await sequencer.durableAt(seq);
    return mounts;
  }

  /** Commits a layer in a registry; one that cannot be read from there is prepared as usual. */
  async #commitRemote(
    unpack: RemoteUnpack,
    command: PrepareCommand,
    call: Call,
  ): Promise<Result<readonly Mount[]>> {
    const decide = () => decidePrepare(command, this);
    const { remoteUnpacks } = this.#options;
    const { snapshotId } = unpack.prepared;
    this.#preparing.add(snapshotId);
    const told = await remoteUnpacks
      .commit(unpack, this, { cause: call.cause, decide })
      .finally(() => this.#preparing.delete(snapshotId));
    if (typeof told !== 'string') return this.#refuse(told);
    const { kind, key, parent } = command;
    const labels =
      told === 'download' ? { ...command.labels, [downloadLabel]: told } : command.labels;
    return this.prepare(kind, { key, parent, labels }, call);
  }

  reserve(name: string): () => void {
    this.#reservedKeys.add(name);
    return () => this.#reservedKeys.delete(name);
  }

  /** Whether this snapshot's Prepare is under way, or may be. */
  isPreparing(snapshotId: number): boolean {
    return this.#preparing.has(snapshotId);
  }

  /** Takes a device of its own for a snapshot whose directory is made, if it is. */
  async #ownDevice(
    isMade: boolean,
    prepared: SnapshotEventData['SnapshotPrepared'],
    cause: Cause,
  ): Promise<Ended> {
    if (!isMade) return { failure: null };
    const leased = this.#options.devices.leaseFor(prepared, cause);
    invariant(leased.ok, 'nobody else has a device of a snapshot that is being prepared');
    return leased.value;
  }

  #undoPrepare(
    { snapshotId, deviceId, quotaBytes }: SnapshotEventData['SnapshotPrepared'],
    cause: Cause,
  ): void {
    const { projection, devices } = this.#options;
    // What it has attached of its own still uses the directory: its end leads to `forsake`.
    const holdsDirectory = projection.device(snapshotId) !== undefined;
    if (deviceId !== null) devices.release(deviceId, snapshotId, cause);
    if (!holdsDirectory) void this.#dropDirectory(snapshotId, quotaBytes !== null);
  }

  /** Nothing is left of a device whose snapshot never came to be: its directory goes, too. */
  forsake(deviceId: number): void {
    const { projection } = this.#options;
    const isNeeded = this.isPreparing(deviceId) || projection.snapshot(deviceId) !== undefined;
    // Its snapshot may be among what a repair could not save.
    const isKept = deviceId <= projection.node.orphansKeptUpTo;
    if (!isNeeded && !isKept) void this.#dropDirectory(deviceId);
  }

  async commit(request: CommitRequest, call: Call): Promise<Result<void>> {
    const low = this.#refuseIfSpaceIsLow('Commit');
    if (low !== undefined) return low;
    const inFlight = this.find(request.key);
    if (inFlight !== undefined && isRetryOfCommit(request, inFlight)) {
      const crowded = this.#refuseIfCrowded(inFlight, 'resource_exhausted');
      return crowded ?? this.#committed(inFlight);
    }
    return this.#onceIdle(request.key, (state) => this.#beginCommit(request, state, call));
  }

  async #beginCommit(
    request: CommitRequest,
    state: SnapshotState | undefined,
    call: Call,
  ): Promise<Result<void>> {
    const { sequencer, dispatcher } = this.#options;
    const decided = decideCommit(request.key, request, state, this);
    if (!decided.ok) return this.#refuse(decided.rejection);
    invariant(state !== undefined, 'only a snapshot that is there can be committed');
    const { snapshotId } = state.context;
    if (state.value.backing === 'writableBlock') {
      const started = { stream: snapshotStream(snapshotId), events: [decided.value] };
      // Together: a layer that is made a finished one has no device that could write it.
      const released = this.#options.devices.releaseOf(snapshotId, snapshotId);
      sequencer.recordTogether([started, ...released], call.cause);
      // What an earlier attempt could not take away may go now.
      dispatcher.hurryDevice(snapshotId);
    } else {
      sequencer.recordSnapshotLazily(snapshotId, [decided.value], call.cause);
      dispatcher.anticipate(snapshotId, call.cause);
    }
    return this.#committed(state);
  }

  /** The answer to a Commit whose operation is in flight: its own outcome, not an earlier one's. */
  async #committed(state: SnapshotState): Promise<Result<void>> {
    const { projection, dispatcher } = this.#options;
    const { snapshotId, key } = state.context;
    const operation = projection.snapshot(snapshotId)?.context.operation;
    const { failure } = await dispatcher.settled(snapshotId, operation?.operationId);
    return failure === null
      ? accepted(undefined)
      : effectFailed(`snapshot ${JSON.stringify(key)} could not be committed`, failure);
  }

  remove(key: string, call: Call): Promise<Result<void>> {
    // With any other code containerd's garbage collection would give up everything else, too.
    const crowdedCode = 'failed_precondition';
    return this.#onceIdle(key, (state) => this.#remove(key, state, call), crowdedCode);
  }

  async #remove(key: string, state: SnapshotState | undefined, call: Call): Promise<Result<void>> {
    const { sequencer, devices, operatorLeases, asyncRemove } = this.#options;
    const decided = decideRemove(key, asyncRemove, state, this);
    if (!decided.ok) return this.#refuse(decided.rejection);
    invariant(state !== undefined, 'only a snapshot that is there can be removed');
    const obstacle = operatorLeases.obstacleTo(state);
    if (obstacle !== undefined) return this.#refuse(obstacle);
    const { snapshotId, deviceId } = state.context;
    const removed = { stream: snapshotStream(snapshotId), events: [decided.value] };
    // Together: a snapshot that nobody can use holds no device.
    const released = deviceId === null ? [] : devices.releaseOf(deviceId, snapshotId);
    const changes = [removed, ...released, ...devices.detachOf(snapshotId)];
    await sequencer.durableAt(sequencer.recordTogether(changes, call.cause));
    return accepted(undefined);
  }

  update(request: UpdateRequest, call: Call): Promise<Result<SnapshotInfo>> {
    return this.#onceIdle(request.name, (state) => this.#update(request, state, call));
  }

  async #update(
    request: UpdateRequest,
    state: SnapshotState | undefined,
    call: Call,
  ): Promise<Result<SnapshotInfo>> {
    const { sequencer, projection, queries } = this.#options;
    const decided = decideUpdate(request.name, request, state);
    if (!decided.ok) return this.#refuse(decided.rejection);
    invariant(state !== undefined, 'only a snapshot that is there can be updated');
    const { snapshotId } = state.context;
    const seq = sequencer.recordSnapshot(snapshotId, [decided.value], call.cause);
    const next = projection.snapshot(snapshotId) ?? state;
    await sequencer.durableAt(seq);
    return accepted(queries.infoOf(next));
  }

  /**
   * Calls `work` with the snapshot under a key once no effect of it is in flight, in the very turn
   * that looked it up: with an await in between, two commands could be decided on the same state.
   */
  async #onceIdle<Value>(
    key: string,
    work: (state: SnapshotState | undefined) => Promise<Result<Value>>,
    crowdedCode: RejectionCode = 'resource_exhausted',
  ): Promise<Result<Value>> {
    const { dispatcher } = this.#options;
    for (;;) {
      const state = this.find(key);
      if (state === undefined || !isInFlight(state)) return work(state);
      const crowded = this.#refuseIfCrowded(state, crowdedCode);
      if (crowded !== undefined) return crowded;
      await dispatcher.settled(state.context.snapshotId);
    }
  }

  #refuseIfCrowded({ context }: SnapshotState, code: RejectionCode): Result<never> | undefined {
    const { snapshotId, key } = context;
    return this.#options.dispatcher.waiterCount(snapshotId) < waiterCountMax
      ? undefined
      : rejected(
          code,
          `${waiterCountMax} calls wait for snapshot ${JSON.stringify(key)} already; try again later`,
        );
  }

  /** A refusal tells of what others did, so it waits until that is durable. */
  async #refuse(rejection: Rejection): Promise<Result<never>> {
    const { sequencer } = this.#options;
    await sequencer.durableAt(sequencer.appliedSeq);
    return { ok: false, rejection };
  }

  #refuseIfSpaceIsLow(method: string): Result<never> | undefined {
    return this.#options.spaceGuard.isLow
      ? rejected(
          'resource_exhausted',
          `${method} is refused: the disk that holds the root is full. Remove images or free space; ` +
            'varve accepts writes again by itself',
        )
      : undefined;
  }

  async #dropDirectory(snapshotId: number, isLimited = false): Promise<void> {
    const removed = await this.#options.directories.remove(snapshotId, isLimited);
    if (!removed.ok) {
      this.#options.logger.warn(
        { snapshotId, ...removed.failure },
        'an unused directory remains; the next start deletes it',
      );
    }
  }
}
