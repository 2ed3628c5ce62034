// Brings the engine up on an open log and puts its parts together behind the Engine interface.
import { map, type Observable } from 'rxjs';
import type { Cause, RecordedEvent } from '../machines/kernel/envelope.ts';
import { rejected, type Result } from '../machines/kernel/rejection.ts';
import type { Checkpoint } from '../machines/checkpoint.ts';
import type { DevicePolicy } from '../machines/device/decide.ts';
import type {
  AttachedLayer,
  Call,
  CommitRequest,
  CompactionResult,
  DetachedLayer,
  Engine,
  Mount,
  PrepareRequest,
  SnapshotInfo,
  UpdateRequest,
} from './api.ts';
import { causeAt, foldLog, recovery } from './boot.ts';
import { Cleanup } from './cleanup.ts';
import { Commands } from './commands.ts';
import { waitAtMost, withDeadline, type CallName } from './deadline.ts';
import { DeviceWatch } from './device-watch.ts';
import { Devices } from './devices.ts';
import { Dispatcher } from './dispatcher.ts';
import { Effects } from './effects.ts';
import { OperatorLeases } from './operator-leases.ts';
import { SnapshotIds } from './ids.ts';
import {
  NodeStopping,
  type BlockDevices,
  type BlockLayers,
  type Clock,
  type CrashPoint,
  type DiskUsage,
  type EventStore,
  type LogFailure,
  type Logger,
  type SnapshotDirectories,
  type SpaceGuard,
} from './ports.ts';
import type { Projection } from '../machines/projection.ts';
import type { OverlayType } from '../machines/snapshot/mounts.ts';
import type { SnapshotPolicy } from '../machines/snapshot/decide.ts';
import type { WritingPolicy } from '../machines/snapshot/writable.ts';
import { Queries, type Answer, type CompileExpression } from './queries.ts';
import { Recovery } from './recovery.ts';
import { RemoteUnpacks } from './remote-unpacks.ts';
import { Retention } from './retention.ts';
import { Sequencer } from './sequencer.ts';
import { planStart, reportStart, type StartPlan } from './start-plan.ts';

export interface EngineOptions {
  readonly store: EventStore;
  readonly directories: SnapshotDirectories;
  readonly blockDevices: BlockDevices;
  readonly blockLayers: BlockLayers;
  readonly spaceGuard: SpaceGuard;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly crashPoint: CrashPoint;
  readonly compileExpression: CompileExpression;
  /** Whether overlay mounts need `index=off`. */
  readonly indexOff: boolean;
  /** What mounts overlays. */
  readonly overlayType: OverlayType;
  readonly configuration: {
    readonly runtimeType: WritingPolicy['runtimeType'];
    readonly rwMode: WritingPolicy['rwMode'];
    readonly writableLayerType: WritingPolicy['writableLayerType'];
    readonly defaultFsType: string;
    readonly remoteLayers: boolean;
    readonly rootfsQuota: string;
    readonly asyncRemove: boolean;
    readonly commitSync: 'syncfs' | 'none';
    readonly autoRemoveDev: boolean;
    readonly lingerMs: number;
    readonly checkpointEveryEventCount: number;
    readonly retention: { readonly maxAgeMs: number; readonly maxEventCount: number };
  };
  readonly version: string;
  readonly bootId: string;
  readonly pid: number;
  /** Called once when the log fails; the process must end with an error. */
  readonly onFailure: (failure: LogFailure) => void;
}

/** Folds the log, records the start, resumes work in flight; resolves when calls can be served. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { store, logger } = options;
  const projection = await foldLog(store);
  const plan = await planStart(projection, { ...options, policy: () => policyOf(options) });
  reportStart(plan, logger);
  const engine = new RunningEngine(options, projection, plan);
  await engine.begin();
  return engine;
}

const policyOf = ({ configuration, clock }: EngineOptions): DevicePolicy => ({
  autoRemoveDev: configuration.autoRemoveDev,
  lingerMs: configuration.lingerMs,
  nowUs: clock.nowUs(),
});

class RunningEngine implements Engine {
  readonly store: EventStore;
  readonly #options: EngineOptions;
  readonly #projection: Projection;
  readonly #plan: StartPlan;
  readonly #sequencer: Sequencer;
  readonly #dispatcher: Dispatcher;
  readonly #devices: Devices;
  readonly #operatorLeases: OperatorLeases;
  readonly #deviceWatch: DeviceWatch;
  readonly #recovery: Recovery;
  readonly #queries: Queries;
  readonly #commands: Commands;
  readonly #cleanup: Cleanup;
  readonly #retention: Retention;
  readonly #callsInFlight = new Set<Promise<unknown>>();
  #isStopping = false;

  constructor(options: EngineOptions, projection: Projection, plan: StartPlan) {
    const { configuration, store } = options;
    this.#options = options;
    this.#projection = projection;
    this.#plan = plan;
    this.store = store;
    const sequencer = new Sequencer({
      ...options,
      projection,
      onDurable: (events) => this.#noticeDurable(events),
    });
    this.#sequencer = sequencer;
    const { commitSync } = configuration;
    const policy = (): DevicePolicy => policyOf(options);
    this.#devices = new Devices({
      ...{ projection, sequencer, policy },
      hurry: (deviceId) => this.#dispatcher.hurryDevice(deviceId),
    });
    const devices = this.#devices;
    this.#recovery = new Recovery({
      ...{ ...options, projection, sequencer, plan },
      dispatcher: () => this.#dispatcher,
    });
    const { strays } = this.#recovery;
    this.#dispatcher = new Dispatcher(sequencer, {
      ...{ ...options, projection, devices, strays },
      effects: new Effects({ ...options, projection, commitSync }),
      devicePolicy: policy,
      onDeviceOver: (deviceId) => this.#commands.forsake(deviceId),
    });
    const dispatcher = this.#dispatcher;
    this.#cleanup = new Cleanup({ projection, sequencer, dispatcher });
    this.#operatorLeases = new OperatorLeases({
      ...{ ...options, projection, sequencer, policy, devices, dispatcher },
    });
    this.#queries = new Queries({ ...options, projection, sequencer, devices });
    this.#retention = new Retention(
      { ...options, ...configuration, ...configuration.retention, projection, sequencer },
      projection.globalSeq,
    );
    this.#deviceWatch = new DeviceWatch({
      ...{ ...options, projection, sequencer, policy, devices },
      resume: (state) =>
        this.#dispatcher.resumeDevice(state, () => causeAt(this.store, state.lastSeq)),
      isPreparing: (snapshotId) => this.#commands.isPreparing(snapshotId),
    });
    this.#commands = new Commands({
      ...options,
      ...configuration,
      policy: snapshotPolicyOf(options),
      remoteUnpacks: new RemoteUnpacks({ ...options, sequencer }),
      projection,
      sequencer,
      dispatcher,
      devices,
      operatorLeases: this.#operatorLeases,
      queries: this.#queries,
      ids: new SnapshotIds(sequencer, plan.boot.usedUpTo),
    });
  }

  #noticeDurable(events: readonly RecordedEvent[]): void {
    for (const event of events) {
      this.#dispatcher.consider(event);
      this.#devices.notice(event);
    }
    this.#deviceWatch.watch();
    this.#retention.notice(this.#sequencer.durableSeq);
  }

  async begin(): Promise<void> {
    const { version, bootId, pid, spaceGuard } = this.#options;
    // With the disk full the start itself is not recorded; what frees space must still work.
    if (!spaceGuard.isLow) {
      const data = { version, bootId, pid };
      const seq = this.#sequencer.recordNode([{ type: 'NodeStarted', data }], recovery);
      await this.#sequencer.durableAt(seq);
    }
    this.#recovery.begin();
    await this.#deviceWatch.begin(this.#plan.devices);
    this.#retention.start();
  }

  startPlan(): Promise<StartPlan> {
    const options = this.#options;
    return planStart(this.#projection, {
      ...options,
      policy: () => policyOf(options),
      isPreparing: (snapshotId) => this.#commands.isPreparing(snapshotId),
    });
  }

  recovered(): Promise<void> {
    return this.#recovery.ended();
  }

  get durable(): Observable<number> {
    return this.#sequencer.durable.pipe(map((seq) => seq));
  }

  prepare(request: PrepareRequest, call: Call): Promise<Result<readonly Mount[]>> {
    return this.#serve('Prepare', call, () => this.#commands.prepare('active', request, call));
  }

  view(request: PrepareRequest, call: Call): Promise<Result<readonly Mount[]>> {
    return this.#serve('View', call, () => this.#commands.prepare('view', request, call));
  }

  commit(request: CommitRequest, call: Call): Promise<Result<void>> {
    return this.#serve('Commit', call, () => this.#commands.commit(request, call));
  }

  remove(key: string, call: Call): Promise<Result<void>> {
    return this.#serve('Remove', call, () => this.#commands.remove(key, call));
  }

  update(request: UpdateRequest, call: Call): Promise<Result<SnapshotInfo>> {
    return this.#serve('Update', call, () => this.#commands.update(request, call));
  }

  cleanup(call: Call): Promise<Result<void>> {
    return this.#serve('Cleanup', call, () => this.#cleanup.run(call));
  }

  mounts(key: string, call: Call): Promise<Result<readonly Mount[]>> {
    return this.#serve('Mounts', call, () => this.#queries.mounts(key));
  }

  stat(key: string, call: Call): Promise<Result<SnapshotInfo>> {
    return this.#serve('Stat', call, () => this.#queries.stat(key));
  }

  list(filters: readonly string[], call: Call): Promise<Result<readonly SnapshotInfo[]>> {
    return this.#serve('List', call, () => this.#queries.list(filters));
  }

  usage(key: string, call: Call): Promise<Result<DiskUsage>> {
    return this.#serve('Usage', call, () => this.#queries.usage(key));
  }

  attach(snapshot: string, call: Call): Promise<Result<AttachedLayer>> {
    return this.#serve('Attach', call, () => this.#operatorLeases.attach(snapshot, call));
  }

  detach(snapshot: string, call: Call): Promise<Result<DetachedLayer>> {
    return this.#serve('Detach', call, () => this.#operatorLeases.detach(snapshot, call));
  }

  #serve<Value>(
    method: CallName,
    { deadlineMs }: Call,
    work: () => Answer<Value>,
  ): Promise<Result<Value>> {
    if (this.#isStopping) {
      return Promise.resolve(rejected('unavailable', new NodeStopping().message));
    }
    const answer = work();
    if (!(answer instanceof Promise)) return Promise.resolve(answer);
    const running = answer.catch(refusedIfStopping);
    this.#callsInFlight.add(running);
    running.finally(() => this.#callsInFlight.delete(running)).catch(() => undefined);
    return withDeadline(running, { method, deadlineMs, clock: this.#options.clock });
  }

  checkpoint(): Checkpoint {
    return this.#projection.toCheckpoint();
  }

  storeCheckpoint(): Promise<number> {
    return this.#retention.storeCheckpoint();
  }

  compact(throughSeq: number, cause: Cause): Promise<Result<CompactionResult>> {
    return this.#retention.compact(throughSeq, cause).catch(refusedIfStopping);
  }

  async stop(reason: string, deadlineMs: number): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const { clock, logger, store, spaceGuard } = this.#options;
    await waitAtMost(deadlineMs, Promise.allSettled([...this.#callsInFlight]), clock);
    this.#recovery.stop();
    this.#dispatcher.stop();
    if (!this.#sequencer.hasFailed) {
      if (!spaceGuard.isLow) {
        this.#sequencer.recordNode([{ type: 'NodeStopped', data: { reason } }], {
          kind: 'operator',
        });
      }
      await this.#sequencer.durableAt(this.#sequencer.appliedSeq);
      if (!spaceGuard.isLow) await this.#retention.storeCheckpoint();
    }
    this.#deviceWatch.stop();
    await this.#retention.stop();
    await this.#sequencer.close();
    await store.close();
    logger.info({ reason, unfinishedCount: this.#dispatcher.runningCount }, 'stopped');
  }
}

function refusedIfStopping(error: unknown): Result<never> {
  if (error instanceof NodeStopping) return rejected('unavailable', error.message);
  throw error;
}

const snapshotPolicyOf = ({ configuration, blockLayers }: EngineOptions): SnapshotPolicy => ({
  ...configuration,
  readsRemoteLayers: configuration.remoteLayers && blockLayers.canReadRemote,
});
