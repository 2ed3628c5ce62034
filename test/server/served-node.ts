// A server in this process on real sockets in a scratch directory, with an event store in memory
// and plain directories: for what must be refused, and for faults that a real disk does not give
// on demand.
import { memoryBlockDevices, plainLayers } from '../../src/adapters/memory/block-devices.ts';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { compileExpression } from '../../src/adapters/regular-expression/re2.ts';
import {
  snapshotDirectories,
  type DirectoryOperations,
} from '../../src/adapters/snapshot-dirs/directories.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { makeDirectory } from '../../src/adapters/system/directories.ts';
import { newRequestId } from '../../src/adapters/system/ids.ts';
import { defaultConfiguration, type Configuration } from '../../src/config/configuration.ts';
import type { Clock, DiskUsage, EffectResult, SpaceGuard } from '../../src/engine/ports.ts';
import { NodeServer } from '../../src/server/node-server.ts';
import type { LogOpening, ProcessLogger } from '../../src/server/ports.ts';
import { TestClient } from './client.ts';
import { MemoryStore } from './memory-store.ts';

export interface LogLine {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export interface ServedNode {
  readonly server: NodeServer;
  readonly store: MemoryStore;
  readonly configuration: Configuration;
  readonly snapshots: TestClient;
  readonly admin: TestClient;
  readonly lines: readonly LogLine[];
  /** Resolves once the server has logged `message`. */
  readonly says: (message: string) => Promise<void>;
  readonly fatal: readonly Error[];
  readonly space: { isLow: boolean };
}

export interface ServedNodeOptions {
  readonly store?: MemoryStore;
  readonly opening?: (
    store: MemoryStore,
    spaceGuard: SpaceGuard,
  ) => Promise<LogOpening> | LogOpening;
  readonly configuration?: Partial<Configuration>;
  /** Instead of plain directories, which never fail. */
  readonly operations?: Partial<DirectoryOperations>;
  /** Called when the log is about to be opened: the sockets answer already. */
  readonly onListening?: (node: ServedNode) => void;
  /** Makes the server's timers shorter by this factor. */
  readonly clock?: { readonly afterScale: number };
}

function scaledClock(afterScale: number): Clock {
  const clock = systemClock();
  return { ...clock, after: (delayMs, callback) => clock.after(delayMs * afterScale, callback) };
}

/** Starts a server that the end of the test stops. */
export async function servedNode(
  test: TestContext,
  options: ServedNodeOptions = {},
): Promise<ServedNode> {
  const scratch = await mkdtemp(path.join(tmpdir(), 'varve-server-'));
  const root = path.join(scratch, 'root');
  const snapshotsPath = path.join(root, 'snapshots');
  await mkdir(snapshotsPath, { recursive: true });
  const configuration: Configuration = {
    ...defaultConfiguration,
    ...options.configuration,
    root,
    address: path.join(scratch, 'run', 'varve.sock'),
    adminAddress: path.join(scratch, 'run', 'admin.sock'),
  };
  const store = options.store ?? new MemoryStore();
  const lines = new LogLines();
  const fatal: Error[] = [];
  const space = { isLow: false, refresh: async () => undefined };
  const open = options.opening ?? (() => openingOf(store, space));
  const server: NodeServer = new NodeServer({
    configuration,
    origins: { root: 'flag --root' },
    onFatal: (error) => fatal.push(error),
    ports: {
      logger: recordingLogger(lines),
      clock: scaledClock(options.clock?.afterScale ?? 1),
      crashPoint: () => undefined,
      newRequestId,
      compileExpression,
      indexOff: false,
      overlayType: 'overlay',
      version: '0.0.0-test',
      bootId: 'boot',
      root,
      directories: snapshotDirectories(snapshotsPath, {
        ...plainOperations(snapshotsPath),
        ...options.operations,
      }),
      blockDevices: memoryBlockDevices(),
      blockLayers: plainLayers,
      mountsInUse: async () => [],
      backingStoreFigures: async () => ({
        ok: true,
        value: {
          process: 1,
          version: null,
          transport: 'memory',
          ...{ transports: null, lacking: {} },
          devicesOutlive: null,
          devices: [],
        },
      }),
      makeDirectory,
      openLog: async () => {
        options.onListening?.(node);
        return open(store, space);
      },
      notify: () => undefined,
      close: async () => undefined,
    },
  });
  const snapshots = new TestClient(configuration.address);
  const admin = new TestClient(configuration.adminAddress);
  test.after(async () => {
    snapshots.close();
    admin.close();
    await server.stop('test ended');
    await rm(scratch, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });
  const says = (message: string): Promise<void> => lines.says(message);
  const node = {
    ...{ server, store, configuration, snapshots, admin, fatal, space },
    ...{ lines: lines.written, says },
  };
  await server.start();
  return node;
}

const openingOf = (store: MemoryStore, spaceGuard: SpaceGuard): LogOpening => ({
  status: 'open',
  opened: { store, damage: [] },
  spaceGuard,
});

class LogLines {
  readonly written: LogLine[] = [];
  readonly #waiting = new Set<() => void>();

  add(line: LogLine): void {
    this.written.push(line);
    for (const look of this.#waiting) look();
  }

  says(expected: string): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!this.written.some(({ message }) => message === expected)) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}

function recordingLogger(lines: LogLines): ProcessLogger {
  const write =
    (level: string) =>
    (fields: object, message: string): void => {
      lines.add({ level, fields: fields as LogLine['fields'], message });
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    fatal: write('fatal'),
    isLevelEnabled: () => true,
  };
}

const done = { ok: true, value: undefined } as const;

const measured = async (): Promise<EffectResult<DiskUsage>> => ({
  ok: true,
  value: { sizeBytes: 4096, inodeCount: 1 },
});

const plainOperations = (snapshotsPath: string): DirectoryOperations => ({
  makeLayer: async ({ snapshotId, withWork }) => {
    const layer = path.join(snapshotsPath, String(snapshotId));
    await mkdir(path.join(layer, 'fs'), { recursive: true });
    if (withWork) await mkdir(path.join(layer, 'work'));
    return done;
  },
  diskUsage: { commit: measured, query: measured },
  removeTree: async (directory) => {
    await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    return done;
  },
  sync: async () => done,
});
