// Starts and stops the servers that are compared, each with a root of its own on the same disk.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';

/** A server configuration that is compared. */
export interface Contestant {
  readonly name: string;
  readonly command: (root: string, address: string, configPath: string) => readonly string[];
  readonly config: object;
}

export interface RunningServer {
  readonly address: string;
  readonly startMs: number;
  /** Resident memory now, in MiB. */
  residentMiB(): Promise<number>;
}

const healthPath = '/grpc.health.v1.Health/Check';
// HealthCheckResponse{status: SERVING}: field 1, varint 1.
const serving = Buffer.from([0x08, 0x01]);

/** Asks once, on a connection of its own: a client whose first attempt failed waits a second. */
async function isServing(address: string): Promise<boolean> {
  const client = new Client(`unix:${address}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  try {
    return await new Promise((resolve) => {
      client.makeUnaryRequest(
        healthPath,
        () => Buffer.alloc(0),
        (bytes: Buffer) => bytes,
        {},
        { deadline: Date.now() + 2_000 },
        (error, answer?: Buffer) => resolve(error === null && answer?.equals(serving) === true),
      );
    });
  } finally {
    client.close();
  }
}

async function waitUntilServing(address: string, child: ChildProcess): Promise<void> {
  const giveUpAtMs = Date.now() + 60_000;
  while (!existsSync(address) || !(await isServing(address))) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    if (Date.now() > giveUpAtMs) throw new Error(`no server answers on ${address}`);
    await delay(5);
  }
}

/** Calls `work` with a contestant served from `directory` (kept between starts), once SERVING. */
export async function withServer<Value>(
  contestant: Contestant,
  directory: string,
  work: (server: RunningServer) => Promise<Value>,
  ending: 'SIGTERM' | 'SIGKILL' = 'SIGTERM',
): Promise<Value> {
  const address = join(directory, 's.sock');
  const configPath = join(directory, 'config.json');
  await writeFile(configPath, JSON.stringify(contestant.config));
  const [program = '', ...args] = contestant.command(join(directory, 'root'), address, configPath);
  const beganMs = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-4_000);
  });
  try {
    await waitUntilServing(address, child);
    const startMs = performance.now() - beganMs;
    return await work({ address, startMs, residentMiB: () => residentMiB(child) });
  } catch (error) {
    throw new Error(`${contestant.name} failed; it last said:\n${log}`, { cause: error });
  } finally {
    child.kill(ending);
    await ended;
  }
}

async function residentMiB(child: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1024;
}
