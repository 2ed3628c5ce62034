// The load program: the same client for every contestant. It prints one JSON object.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ending } from '../ending.ts';
import type { RunningServer } from './servers.ts';

const run = promisify(execFile);

export interface LoadResult {
  readonly cyclesPerSecond?: number;
  readonly callsPerSecond: number;
  readonly calls: Readonly<Record<string, { readonly p50Ms?: number; readonly p99Ms?: number }>>;
}

/** Runs a subcommand of the load program (bench/peer/snapshot-load) against a server. */
export async function load(
  program: string,
  server: RunningServer,
  subcommand: 'fill' | 'cycles' | 'reads',
  flags: Readonly<Record<string, string | number>>,
): Promise<LoadResult> {
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { stdout } = await run(program, [subcommand, '--address', server.address, ...args], {
    maxBuffer: 1 << 24,
    signal: ending,
  });
  return JSON.parse(stdout) as LoadResult;
}
