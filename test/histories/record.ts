// Records the sessions through the real engine and the real log: once for every release. In
// <directory> a session leaves
//   <session>.ndjson, <session>.state.json   its export, and the live state at its end
//   logs/<session>/                          the log's own files, and the live state at its end
// What is there is never touched: a history is kept for ever.
//
//   node test/histories/record.ts test/histories/v0.1
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memoryBlockDevices } from '../../src/adapters/memory/block-devices.ts';
import type { Checkpoint } from '../../src/machines/checkpoint.ts';
import { GapFold } from '../../src/machines/gap-fold.ts';
import { logPaths } from '../../src/adapters/level/log-paths.ts';
import { openLog } from '../../src/adapters/level/open-log.ts';
import { repairLog } from '../../src/adapters/level/repair.ts';
import { startEngine } from '../../src/engine/start.ts';
import { exportLines } from '../../src/server/history-reader.ts';
import { policy } from '../machines/given.ts';
import { beginSession, sessions, type Session } from './sessions.ts';
import type { Engine } from '../../src/engine/api.ts';
import type { DevicePlan } from '../../src/machines/device/events.ts';
import type {
  AttachedDevice,
  BlockDevices,
  Clock,
  EffectResult,
  Logger,
  SnapshotDirectories,
  SpaceGuard,
} from '../../src/engine/ports.ts';
import type { EffectFailure } from '../../src/machines/kernel/envelope.ts';

const version = '0.1.0';
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

const failure: EffectFailure = {
  step: 'unlinkat',
  code: 'EBUSY',
  message: 'Device or resource busy',
  path: 'fs/etc',
};

type Operation = 'create' | 'usage' | 'remove' | 'attach' | 'detach';

/** A node with a real log, and directories in memory that fail or hang when the session says so. */
export class RecordedNode {
  readonly #root: string;
  readonly #session: Session;
  readonly #directories = new Set<number>();
  readonly #failing = new Set<Operation>();
  readonly #held = new Set<Operation>();
  /** Whether what is unpacked now is a block layer. */
  unpacksBlocks = false;
  /** What devices are attached by. */
  transport = 'fuse';
  #devices = memoryBlockDevices();
  /** Of the life that runs: with its end nothing more of it happens. */
  readonly #timers = new Set<NodeJS.Timeout>();
  #bootId = '5a8f0f5c-1d43-4a37-9b0e-0d6f6c3f1b52';
  #nowUs = 1_760_000_000_000_000;
  #engine: Engine | undefined;

  constructor(root: string, session: Session) {
    this.#root = root;
    this.#session = session;
  }

  get engine(): Engine {
    if (this.#engine === undefined) throw new Error('the node is started');
    return this.#engine;
  }

  /** The next operation of this kind fails. */
  fail(operation: Operation): void {
    this.#failing.add(operation);
  }

  /** Operations of this kind do not end before the next start. */
  hold(operation: Operation): void {
    this.#held.add(operation);
  }

  leaveOrphan(snapshotId: number): void {
    this.#directories.add(snapshotId);
  }

  /** Resolves when the log holds an event of this type. */
  async recorded(type: string): Promise<void> {
    for (;;) {
      for await (const events of this.engine.store.read()) {
        if (events.some((event) => event.type === type)) return;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Ends in order, or as by kill -9; in the last case the end of the log is then damaged. */
  async restart(how: 'stop' | 'crash' | 'repair'): Promise<void> {
    if (how === 'stop') await this.engine.stop('SIGTERM', 5_000);
    else await this.engine.store.close();
    if (how === 'repair') await this.#damageAndRepair();
    this.#held.clear();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    await this.start();
  }

  /** The machine is started anew: no device is left. */
  async reboot(): Promise<void> {
    this.#bootId = '0b9d3c51-7e0c-4c0e-8e54-3a4f6a1f2d77';
    this.#devices = memoryBlockDevices();
    await this.restart('crash');
  }

  async #damageAndRepair(): Promise<void> {
    const { log } = logPaths(this.#root);
    const [name = ''] = readdirSync(log).filter((file) => file.endsWith('.log'));
    const content = readFileSync(join(log, name));
    const place = content.lastIndexOf('SnapshotPrepared');
    content[place] = (content[place] ?? 0) ^ 1;
    writeFileSync(join(log, name), content);
    for (const id of this.#directories) {
      mkdirSync(join(this.#root, 'snapshots', String(id)), { recursive: true });
    }
    const clock = { nowUs: () => (this.#nowUs += 1_000) };
    const startFold = (base?: Checkpoint): GapFold => new GapFold(base);
    const result = await repairLog({ root: this.#root, logger: silent, clock, startFold });
    if (result.status !== 'repaired') throw new Error(`the log is ${result.status}`);
  }

  async start(): Promise<void> {
    const timers = this.#timers;
    const clock: Clock = {
      nowUs: () => (this.#nowUs += 1_000),
      after(delayMs, callback) {
        const timer = setTimeout(callback, delayMs);
        timer.unref();
        timers.add(timer);
        return () => {
          clearTimeout(timer);
        };
      },
    };
    const shared = { clock, logger: silent, crashPoint: () => undefined };
    const log = await openLog({ ...shared, root: this.#root, reserveSizeBytes: 1 << 16 });
    if (log.status !== 'open') throw new Error(`the log does not open: ${log.reason}`);
    const spaceGuard: SpaceGuard = { isLow: false, refresh: async () => undefined };
    this.#engine = await startEngine({
      ...shared,
      spaceGuard,
      store: log.opened.store,
      directories: this.#asDirectories(),
      blockDevices: this.#asDevices(),
      blockLayers: {
        examine: async () => ({
          ok: true,
          value: this.unpacksBlocks ? { fileSystem: 'ext4', layerFile: 'overlaybd.commit' } : null,
        }),
        finish: async () => ({ ok: true, value: undefined }),
        canReadRemote: true,
        describe: async () => ({ ok: true, value: { fileSystem: 'ext4', layerFile: null } }),
      },
      compileExpression: () => 'invalid',
      indexOff: true,
      overlayType: 'overlay',
      configuration: {
        ...policy,
        remoteLayers: true,
        runtimeType: this.#session.runtimeType,
        asyncRemove: this.#session.asyncRemove,
        commitSync: 'none',
        autoRemoveDev: false,
        lingerMs: 10,
        checkpointEveryEventCount: 1_000,
        retention: { maxAgeMs: 1e12, maxEventCount: 1e9 },
      },
      version,
      bootId: this.#bootId,
      pid: 4242,
      onFailure: (error) => {
        throw error;
      },
    });
  }

  #asDevices(): BlockDevices {
    const devices = this.#devices;
    return {
      ...devices,
      attach: async (id, plan) =>
        this.#failing.delete('attach') ? { ok: false, failure } : this.#attach(id, plan),
      detach: async (id) =>
        this.#failing.delete('detach') ? { ok: false, failure } : devices.detach(id),
    };
  }

  async #attach(id: number, plan: DevicePlan): Promise<EffectResult<AttachedDevice>> {
    const attached = await this.#devices.attach(id, plan);
    if (!attached.ok) return attached;
    return { ok: true, value: { ...attached.value, transport: this.transport } };
  }

  #asDirectories(): SnapshotDirectories {
    const { promise: never } = Promise.withResolvers<EffectResult<never>>();
    const answer = <Value>(
      operation: Operation,
      work: () => Value,
    ): Promise<EffectResult<Value>> => {
      if (this.#held.has(operation)) return never;
      if (this.#failing.delete(operation)) return Promise.resolve({ ok: false, failure });
      return Promise.resolve({ ok: true, value: work() });
    };
    const directories = this.#directories;
    return {
      path: '/var/lib/varve/snapshots',
      create: ({ snapshotId }) => answer('create', () => void directories.add(snapshotId)),
      usage: (id) => answer('usage', () => ({ sizeBytes: 4096 * id, inodeCount: id + 1 })),
      sync: async () => ({ ok: true, value: undefined }),
      remove: (id) => answer('remove', () => void directories.delete(id)),
      list: async () => ({ snapshotIds: [...directories], foreign: [] }),
    };
  }
}

interface Recorded {
  readonly history: string;
  readonly state: string;
}

/** Runs a session below `root`; the log is closed afterwards. */
async function record(session: Session, root: string): Promise<Recorded> {
  beginSession();
  const node = new RecordedNode(root, session);
  await node.start();
  await session.run(node);
  await node.engine.stop('SIGTERM', 5_000);
  const live = node.engine.checkpoint();
  // Of a copy: what opening it again does to the files is no part of the session.
  const copy = `${root}-copy`;
  cpSync(root, copy, { recursive: true });
  const log = await openLog({
    ...{ root: copy, logger: silent, crashPoint: () => undefined, reserveSizeBytes: 1 << 16 },
    clock: { nowUs: () => 0, after: () => () => undefined },
  });
  if (log.status !== 'open') throw new Error(`the log does not open: ${log.reason}`);
  let history = '';
  const { store } = log.opened;
  const request = { version, nowUs: 1_760_000_999_000_000, live };
  for await (const lines of exportLines(store, request)) history += lines;
  await store.close();
  return { history, state: `${JSON.stringify(live, undefined, 2)}\n` };
}

/** Files of LevelDB that hold nothing of the log. */
const asides: readonly string[] = ['LOCK', 'LOG', 'LOG.old'];

/** A write-ahead log without the room that it has been given and not used. */
function withoutZerosAhead(content: Buffer): Buffer {
  let end = content.length;
  while (end > 0 && content[end - 1] === 0) end -= 1;
  // The last record may end in zeros of its own.
  return content.subarray(0, Math.min(content.length, end + 64));
}

function keepLog(root: string, directory: string, state: string): void {
  const kept = logPaths(directory);
  const recorded = logPaths(root);
  mkdirSync(kept.log, { recursive: true });
  for (const name of readdirSync(recorded.log).filter((file) => !asides.includes(file))) {
    writeFileSync(join(kept.log, name), withoutZerosAhead(readFileSync(join(recorded.log, name))));
  }
  cpSync(recorded.tip, kept.tip);
  cpSync(recorded.export, kept.export);
  writeFileSync(join(directory, 'state.json'), state);
}

function keepHistory(path: string, { history, state }: Recorded): void {
  writeFileSync(`${path}.ndjson`, history);
  writeFileSync(`${path}.state.json`, state);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const directory = process.argv[2];
  if (directory === undefined) throw new Error('usage: record.ts DIRECTORY');
  mkdirSync(directory, { recursive: true });
  const scratch = mkdtempSync(join(tmpdir(), 'varve-history-'));
  try {
    for (const session of sessions) {
      const history = join(directory, session.name);
      const log = join(directory, 'logs', session.name);
      const root = join(scratch, session.name);
      const recorded = await record(session, root);
      if (!existsSync(`${history}.ndjson`)) keepHistory(history, recorded);
      if (!existsSync(log)) keepLog(root, log, recorded.state);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
