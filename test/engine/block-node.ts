// A node with block layers on the real engine: log and devices in memory, time under the test's
// control. The devices do what they are told, hang or fail as the test says, and outlive a crash
// of the engine.
import assert from 'node:assert/strict';
import { MemoryEventStore } from '../../src/adapters/memory/event-store.ts';
import { memoryBlockDevices } from '../../src/adapters/memory/block-devices.ts';
import type { Call, Engine, Mount } from '../../src/engine/api.ts';
import type {
  BlockDevices,
  DeviceSighting,
  EffectResult,
  SnapshotDirectories,
} from '../../src/engine/ports.ts';
import { startEngine } from '../../src/engine/start.ts';
import { readOnlyPlan } from '../../src/machines/device/plans.ts';
import type { DeviceState } from '../../src/machines/device/state.ts';
import type { EffectFailure, RecordedEvent } from '../../src/machines/kernel/envelope.ts';
import type { Result } from '../../src/machines/kernel/rejection.ts';
import { GapFold } from '../../src/machines/gap-fold.ts';
import { Projection } from '../../src/machines/projection.ts';
import type { Labels, MountMode } from '../../src/machines/snapshot/events.ts';
import { blockContent, policy } from '../machines/given.ts';
import { FakeClock } from './fake-clock.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

type Step = 'attach' | 'format' | 'mount' | 'unmount' | 'detach' | 'finish' | 'describe';

type RuntimeType = 'containerd' | 'docker';

export interface BlockNodeOptions {
  readonly autoRemoveDev?: boolean;
  readonly rwMode?: MountMode;
  readonly runtimeType?: RuntimeType;
  readonly remoteLayers?: boolean;
}

export const lingerMs = 5_000;

export class BlockNode {
  readonly clock = new FakeClock();
  readonly directories = new Set<number>();
  /** Whether what is unpacked now is a block layer. */
  unpacksBlocks = true;
  /** What such a layer holds. */
  fileSystem = 'ext4';
  /** With which options each device was mounted, one after the other. */
  readonly mountedWith: { readonly deviceId: number; readonly options: string }[] = [];
  /** Steps that fail, and why. */
  readonly failing = new Map<Step, EffectFailure>();
  /** Steps that hang until they are let go on; of one device, or of all. */
  readonly #hanging = new Map<
    Step,
    { isOf: (deviceId: number) => boolean; goOn: Map<number, () => void> }
  >();
  /** Devices that cannot be looked at, and why. */
  readonly unseen = new Map<number, EffectFailure>();
  /** By what devices are attached as far as the engine knew when it looked last. */
  recorded: ReadonlyMap<number, string> = new Map();
  #store = new MemoryEventStore();
  readonly #settings: BlockNodeOptions;
  /** Every file system that was made, by the device that got it. */
  readonly formatted: number[] = [];
  /** As the next start has it. */
  runtimeType: RuntimeType;
  #devices = memoryBlockDevices();
  #bootId = 'boot-1';
  #engine: Engine | undefined;

  constructor(settings: BlockNodeOptions = {}) {
    this.#settings = settings;
    this.runtimeType = settings.runtimeType ?? 'containerd';
  }

  get engine(): Engine {
    assert.ok(this.#engine, 'the node is started');
    return this.#engine;
  }

  async start(): Promise<void> {
    this.#engine = await this.clock.until(
      startEngine({
        store: this.#store,
        directories: this.#asDirectories(),
        blockDevices: this.#asDevices(),
        blockLayers: {
          examine: async () => ({
            ok: true,
            value: this.unpacksBlocks
              ? { fileSystem: this.fileSystem, layerFile: 'overlaybd.commit' }
              : null,
          }),
          canReadRemote: true,
          describe: (id) =>
            this.#step('describe', id, async () => ({
              ok: true,
              value: { fileSystem: this.fileSystem, layerFile: null },
            })),
          finish: (id) => this.#step('finish', id, () => this.#finish(id)),
        },
        clock: this.clock,
        logger: silent,
        spaceGuard: { isLow: false, refresh: async () => undefined },
        crashPoint: () => undefined,
        compileExpression: () => 'invalid',
        indexOff: false,
        overlayType: 'overlay',
        configuration: {
          ...{
            ...policy,
            asyncRemove: false,
            commitSync: 'none',
            autoRemoveDev: true,
            remoteLayers: false,
          },
          ...this.#settings,
          runtimeType: this.runtimeType,
          lingerMs,
          checkpointEveryEventCount: 500,
          retention: { maxAgeMs: 1e12, maxEventCount: 1e9 },
        },
        version: '0.0.0',
        bootId: this.#bootId,
        pid: 1,
        onFailure: (failure) => {
          throw failure;
        },
      }),
    );
  }

  /** The engine dies as by kill -9, and starts again beside the same devices. */
  async crash(whileDown: () => void = () => undefined): Promise<void> {
    this.clock.forgetTimers();
    this.#hanging.clear();
    whileDown();
    await this.start();
  }

  /** The machine starts anew: nothing is attached. */
  async reboot(): Promise<void> {
    this.#bootId += '+';
    this.loseDevices();
    await this.crash();
  }

  /** Events at the end of their streams are lost, and the log is repaired; then it starts again. */
  async repair(isLost: (event: RecordedEvent) => boolean, whileDown?: () => void): Promise<void> {
    const left = (await this.events()).filter((event) => !isLost(event));
    const fold = new GapFold(undefined);
    const lastSeq = left.length;
    this.#store = new MemoryEventStore();
    for (const [index, event] of left.entries()) {
      const renumbered = { ...event, globalSeq: index + 1 };
      fold.apply(renumbered);
      await this.#store.append([renumbered]);
    }
    fold.settle(this.directories);
    const repaired = Projection.fromCheckpoint(fold.toCheckpoint(lastSeq));
    const data = {
      lost: [{ fromSeq: 1, toSeq: lastSeq }],
      resumedAtSeq: lastSeq,
      orphansKeptUpTo: Math.max(...this.directories),
      idsReservedUpTo: fold.idsReservedUpTo(lastSeq),
    };
    const event: RecordedEvent = {
      ...{ globalSeq: lastSeq + 1, stream: 'node', revision: repaired.node.revision + 1 },
      ...{ type: 'LogRepaired', schemaVersion: 2, timeUs: this.clock.nowUs() },
      ...{ cause: { kind: 'operator' }, data },
    };
    repaired.apply(event);
    await this.#store.append([event]);
    await this.#store.writeCheckpoint(repaired.toCheckpoint());
    await this.crash(whileDown);
  }

  /** All devices are gone, as when the backing store dies. */
  loseDevices(): void {
    this.#devices = memoryBlockDevices();
  }

  /** A device is there of which nothing is known. */
  async leaveStray(deviceId: number): Promise<void> {
    await this.#devices.attach(deviceId, readOnlyPlan(blockContent()));
  }

  hang(step: Step, deviceId?: number): void {
    const isOf = (id: number): boolean => (deviceId ?? id) === id;
    this.#hanging.set(step, { isOf, goOn: new Map() });
  }

  /** The devices whose attach hangs at this moment. */
  get attaching(): readonly number[] {
    return [...(this.#hanging.get('attach')?.goOn.keys() ?? [])];
  }

  /** From now on nothing else hangs; answers the function that lets these go on. */
  keepHanging(step: Step, deviceIds: ReadonlySet<number>): () => void {
    const hanging = this.#hanging.get(step);
    if (hanging !== undefined) hanging.isOf = (id) => deviceIds.has(id);
    return () => this.letGoOn(step);
  }

  letGoOn(step: Step): void {
    const hanging = this.#hanging.get(step);
    this.#hanging.delete(step);
    for (const goOn of hanging?.goOn.values() ?? []) goOn();
  }

  begin<Value>(
    work: (engine: Engine, call: Call) => Promise<Result<Value>>,
  ): Promise<Result<Value>> {
    return work(this.engine, { cause: { kind: 'rpc', requestId: 'r' }, deadlineMs: 1e9 });
  }

  call<Value>(
    work: (engine: Engine, call: Call) => Promise<Result<Value>>,
  ): Promise<Result<Value>> {
    return this.clock.until(this.begin(work));
  }

  /** Unpacks a layer under `name`. */
  async unpack(name: string, parent = '', labels: Labels = {}): Promise<void> {
    const committed = await this.tryUnpack(name, parent, labels);
    assert.ok(committed.ok, JSON.stringify(committed));
  }

  /** The same, whatever comes of its Commit. */
  async tryUnpack(name: string, parent: string, labels: Labels): Promise<Result<void>> {
    const key = `extract-1 sha256:${'0'.repeat(64)}`;
    const prepared = await this.call((engine, call) =>
      engine.prepare({ key, parent, labels }, call),
    );
    assert.ok(prepared.ok, JSON.stringify(prepared));
    return this.call((engine, call) => engine.commit({ key, name, labels, parent: '' }, call));
  }

  prepare(key: string, parent: string, labels: Labels = {}): Promise<Result<readonly Mount[]>> {
    return this.call((engine, call) => engine.prepare({ key, parent, labels }, call));
  }

  commit(key: string, name: string): Promise<Result<void>> {
    return this.call((engine, call) => engine.commit({ key, name, labels: {}, parent: '' }, call));
  }

  remove(key: string): Promise<Result<void>> {
    return this.call((engine, call) => engine.remove(key, call));
  }

  device(deviceId: number): DeviceState | undefined {
    return this.engine.checkpoint().devices.find(({ context }) => context.deviceId === deviceId);
  }

  /** What a device is, for the world and for the log: `ready`, `lingering`, `absent`, … */
  standing(deviceId: number): string {
    return this.device(deviceId)?.value.attachment ?? 'unknown';
  }

  async sightings(): Promise<readonly DeviceSighting[]> {
    const observed = await this.#devices.observe(new Map());
    return observed.ok ? observed.value : [];
  }

  async events(): Promise<readonly RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    for await (const part of this.#store.read()) events.push(...part);
    return events;
  }

  #asDirectories(): SnapshotDirectories {
    const answer = async <Value>(value: Value): Promise<EffectResult<Value>> => ({
      ok: true,
      value,
    });
    return {
      path: '/s',
      create: async ({ snapshotId }) => {
        this.directories.add(snapshotId);
        return answer(undefined);
      },
      usage: () => answer({ sizeBytes: 4096, inodeCount: 1 }),
      sync: () => answer(undefined),
      remove: async (snapshotId) => {
        const inUse = (await this.sightings()).some(({ deviceId }) => deviceId === snapshotId);
        assert.ok(!inUse, `the directory of #${snapshotId} is deleted below its device`);
        this.directories.delete(snapshotId);
        return answer(undefined);
      },
      list: async () => ({ snapshotIds: [...this.directories], foreign: [] }),
    };
  }

  async #step<Value>(
    name: Step,
    deviceId: number,
    work: () => Promise<EffectResult<Value>>,
  ): Promise<EffectResult<Value>> {
    const hanging = this.#hanging.get(name);
    if (hanging?.isOf(deviceId) === true) {
      await new Promise<void>((resolve) => hanging.goOn.set(deviceId, resolve));
    }
    const failure = this.failing.get(name);
    return failure === undefined ? work() : { ok: false, failure };
  }

  async #finish(snapshotId: number): Promise<EffectResult<void>> {
    const isAttached = (await this.sightings()).some(({ deviceId }) => deviceId === snapshotId);
    assert.ok(!isAttached, `the layer of #${snapshotId} is finished below its device`);
    return { ok: true, value: undefined };
  }

  #asDevices(): BlockDevices {
    return {
      attach: (id, plan) => this.#step('attach', id, () => this.#devices.attach(id, plan)),
      format: (id, path, plan) =>
        this.#step('format', id, () => {
          this.formatted.push(id);
          return this.#devices.format(id, path, plan);
        }),
      mount: (id, path, plan) =>
        this.#step('mount', id, () => {
          this.mountedWith.push({ deviceId: id, options: plan.mountOptions });
          return this.#devices.mount(id, path, plan);
        }),
      unmount: (id) => this.#step('unmount', id, () => this.#devices.unmount(id)),
      unmountWritten: (id) => this.#step('unmount', id, () => this.#devices.unmountWritten(id)),
      detach: (id) => this.#step('detach', id, () => this.#devices.detach(id)),
      observe: async (recorded) => {
        this.recorded = recorded;
        const observed = await this.#devices.observe(recorded);
        if (!observed.ok) return observed;
        const seen = observed.value.filter(({ deviceId }) => !this.unseen.has(deviceId));
        const unseen = [...this.unseen].map(([deviceId, failure]) => ({
          ...{ deviceId, path: null, isMounted: false },
          unseen: failure,
        }));
        const value = [...seen, ...unseen];
        return { ok: true, value };
      },
    };
  }
}

/** A node that is started, with an image of two block layers: `base`, and `top` on it. */
export async function nodeWithImage(options: BlockNodeOptions = {}): Promise<BlockNode> {
  const node = new BlockNode(options);
  await node.start();
  await node.unpack('base');
  await node.unpack('top', 'base');
  return node;
}
