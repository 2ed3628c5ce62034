// Devices that an operator wants, without a container: the lease is taken in the name of the layer
// itself, lasts over restarts, and keeps the layer from being removed.
import type { Cause } from '../machines/kernel/envelope.ts';
import { accepted, rejected, type Rejection, type Result } from '../machines/kernel/rejection.ts';
import { decideOperatorRelease, type DevicePolicy } from '../machines/device/decide.ts';
import { unknownDevice } from '../machines/device/evolve.ts';
import { readOnlyPlan } from '../machines/device/plans.ts';
import { isLeasedByOperator, isLeaving, type DeviceState } from '../machines/device/state.ts';
import type { BlockContent } from '../machines/snapshot/events.ts';
import { deviceMountPoint } from '../machines/snapshot/mounts.ts';
import { kindOf, type SnapshotState } from '../machines/snapshot/state.ts';
import type { Projection } from '../machines/projection.ts';
import type { AttachedLayer, Call, DetachedLayer } from './api.ts';
import type { Devices } from './devices.ts';
import type { Dispatcher } from './dispatcher.ts';
import { effectFailed } from './effect-failure.ts';
import type { SnapshotDirectories, SpaceGuard } from './ports.ts';
import type { Sequencer } from './sequencer.ts';

export interface OperatorLeasesOptions {
  readonly projection: Projection;
  readonly sequencer: Sequencer;
  readonly devices: Devices;
  readonly dispatcher: Dispatcher;
  readonly directories: SnapshotDirectories;
  readonly spaceGuard: SpaceGuard;
  readonly policy: () => DevicePolicy;
}

interface BlockLayer {
  readonly deviceId: number;
  readonly block: BlockContent;
}

export class OperatorLeases {
  readonly #options: OperatorLeasesOptions;

  constructor(options: OperatorLeasesOptions) {
    this.#options = options;
  }

  async attach(name: string, { cause }: Call): Promise<Result<AttachedLayer>> {
    const found = this.#layer(name);
    if (!found.ok) return found;
    const { deviceId, block } = found.value;
    const { devices, spaceGuard, directories, sequencer } = this.#options;
    if (spaceGuard.isLow) {
      return rejected(
        'resource_exhausted',
        'Attach is refused: the disk that holds the root is full. Remove images or free space',
      );
    }
    const wasAttached = isLeasedByOperator(this.#device(deviceId), deviceId);
    const plan = readOnlyPlan(block);
    const leased = devices.lease(
      { deviceId, snapshotId: deviceId, purpose: 'operator', plan },
      cause,
    );
    if (!leased.ok) return leased;
    const { failure } = await leased.value;
    if (failure !== null) {
      // One that was there before is the business of whoever took it.
      if (!wasAttached) this.#release(deviceId, cause);
      return effectFailed(`the device of ${quoted(name)} could not be attached`, failure);
    }
    const { context, lastSeq } = this.#device(deviceId);
    await sequencer.durableAt(lastSeq);
    const { path, sizeBytes } = context;
    if (path === null || !isLeasedByOperator(this.#device(deviceId), deviceId)) {
      const what = `the device of ${quoted(name)} was given back while it was attached`;
      return rejected('failed_precondition', `${what}: attach it again`);
    }
    const mountPoint = deviceMountPoint(directories.path, deviceId);
    const { fileSystem } = block;
    return accepted({ deviceId, path, sizeBytes, fileSystem, mountPoint, wasAttached });
  }

  async detach(name: string, { cause }: Call): Promise<Result<DetachedLayer>> {
    const found = this.#layer(name);
    if (!found.ok) return found;
    const { deviceId } = found.value;
    const wasAttached = isLeasedByOperator(this.#device(deviceId), deviceId);
    const wasLeaving = isLeaving(this.#device(deviceId));
    this.#release(deviceId, cause);
    await this.#options.sequencer.durableAt(this.#device(deviceId).lastSeq);
    const { dispatcher, projection } = this.#options;
    // One that could not go before need not wait for its next attempt.
    if (wasLeaving) dispatcher.hurryDevice(deviceId);
    let mayBeEarlier = wasLeaving;
    for (;;) {
      const state = this.#device(deviceId);
      const { operation, leases } = state.context;
      if (operation !== null && isLeaving(state)) {
        const { failure } = await dispatcher.deviceSettled(deviceId, operation.operationId);
        if (failure === null) continue;
        if (mayBeEarlier) {
          // That attempt may have begun before what was in the way has gone.
          mayBeEarlier = false;
          dispatcher.hurryDevice(deviceId);
          continue;
        }
        const what = `${quoted(name)} is given back, but its device is still there`;
        return effectFailed(`${what}, and varve tries again`, failure);
      }
      const users = leases.map((lease) => ({
        ...lease,
        key: projection.snapshot(lease.snapshotId)?.context.key ?? '',
      }));
      return accepted({ deviceId, wasAttached, state: state.value.attachment, leases: users });
    }
  }

  /** Why a layer cannot be removed now; undefined if nothing is in the way. */
  obstacleTo(state: SnapshotState): Rejection | undefined {
    const { snapshotId, key } = state.context;
    if (!isLeasedByOperator(this.#device(snapshotId), snapshotId)) return undefined;
    const message =
      `snapshot ${quoted(key)} cannot be removed: an operator has its device attached; ` +
      `give it back with varve detach '#${snapshotId}'`;
    return { code: 'failed_precondition', message };
  }

  #release(deviceId: number, cause: Cause): void {
    const { sequencer, policy } = this.#options;
    if (sequencer.isOver) return;
    const events = decideOperatorRelease(deviceId, this.#device(deviceId), policy());
    if (events.length > 0) sequencer.recordDevice(deviceId, events, cause);
  }

  /** The block layer that a key, a name or `#<id>` names. */
  #layer(name: string): Result<BlockLayer> {
    const { projection } = this.#options;
    const state = projection.find(name) ?? this.#byId(name);
    if (state === undefined) {
      return rejected('not_found', `snapshot ${quoted(name)} does not exist: varve ls lists them`);
    }
    const { snapshotId, block } = state.context;
    if (kindOf(state) === 'committed' && block !== null) {
      return accepted({ deviceId: snapshotId, block });
    }
    const below = projection.catalog.blockLayerOf(state)?.context.key;
    const next =
      below === undefined
        ? 'there is none below it either'
        : `the nearest one below it is ${quoted(below)}`;
    return rejected(
      'failed_precondition',
      `snapshot ${quoted(name)} is not a block layer, which alone has a device to attach: ${next}`,
    );
  }

  #byId(name: string): SnapshotState | undefined {
    const id = /^#(\d{1,15})$/.exec(name)?.[1];
    const state = id === undefined ? undefined : this.#options.projection.snapshot(Number(id));
    return state !== undefined && kindOf(state) !== undefined ? state : undefined;
  }

  #device(deviceId: number): DeviceState {
    return this.#options.projection.device(deviceId) ?? unknownDevice;
  }
}

const quoted = (name: string): string => JSON.stringify(name);
