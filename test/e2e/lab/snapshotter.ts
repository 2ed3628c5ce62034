// The snapshotter under test as a process on a root of its own: started, and ready when its
// health says so.
import * as grpc from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { startService, waitUntilReady, type Service } from './service.ts';

export interface SnapshotterOptions {
  /** Called as `COMMAND VERB --root DIR --address SOCKET`. */
  readonly command: string;
  /** `serve` by default; `up` starts varve-bd beside it. */
  readonly verb?: 'serve' | 'up';
  readonly directory: string;
  readonly configPath?: string;
  /** Where it finds programs before those of PATH. */
  readonly programDirectories?: readonly string[];
}

export interface Snapshotter {
  readonly address: string;
  readonly root: string;
  readonly service: Service;
}

const serving = 1;
const probeLimitMs = 1000;
const stopLimitMs = 5000;

interface HealthAnswer {
  readonly status: number | string;
}

type HealthClient = grpc.Client & {
  readonly Check: (
    request: { service: string },
    options: grpc.CallOptions,
    callback: (error: grpc.ServiceError | null, answer?: HealthAnswer) => void,
  ) => void;
};

/** Whether the server behind a unix socket answers SERVING. */
export function isServing(address: string): Promise<boolean> {
  const Client = grpc.makeGenericClientConstructor(healthService, 'Health');
  const client = new Client(
    `unix:${address}`,
    grpc.credentials.createInsecure(),
  ) as unknown as HealthClient;
  return new Promise((resolve) => {
    const deadline = Date.now() + probeLimitMs;
    client.Check({ service: '' }, { deadline }, (_, answer) => {
      client.close();
      resolve(answer?.status === serving || answer?.status === 'SERVING');
    });
  });
}

// The machine may have a configuration of its own, with the sockets of a snapshotter in use.
function emptyConfiguration(directory: string): string {
  const path = join(directory, 'config.json');
  writeFileSync(path, '{}');
  return path;
}

/** Starts the snapshotter below a directory and waits until it serves. */
export async function startSnapshotter(options: SnapshotterOptions): Promise<Snapshotter> {
  const { command, verb = 'serve', directory, configPath, programDirectories = [] } = options;
  const root = join(directory, 'root');
  const address = join(directory, 'run/varve.sock');
  mkdirSync(join(directory, 'run'), { recursive: true, mode: 0o700 });
  const service = startService({
    name: 'snapshotter',
    argv: [
      ...[command, verb, '--root', root, '--address', address],
      ...['--config', configPath ?? emptyConfiguration(directory)],
    ],
    logPath: join(directory, 'log'),
    env: {
      ...{ VARVE_ADDRESS: undefined, VARVE_ADMIN_ADDRESS: undefined },
      PATH: [...programDirectories, process.env['PATH'] ?? ''].join(delimiter),
    },
  });
  await waitUntilReady(service, () => isServing(address));
  return { address, root, service };
}

/** Stops the snapshotter; fails unless it ends in order and in time. */
export async function stopSnapshotter({ service }: Snapshotter): Promise<void> {
  const { code, signal, isOrderly } = await service.stop(stopLimitMs);
  if (isOrderly && code === 0) return;
  const how = isOrderly ? `ended with ${code ?? signal ?? 'no status'}` : 'had to be killed';
  throw new Error(`on SIGTERM the snapshotter ${how} (limit ${stopLimitMs} ms)`);
}
