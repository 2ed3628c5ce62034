// Programs and waiting in the virtual machine, where everything takes longer. Programs run without
// holding this process up: the client of varve-bd takes a daemon that it does not hear for dead.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as lab from '../e2e/lab/service.ts';

const limitMs = 180_000;

/** What it prints; it has to succeed. */
export async function run(program: string, ...args: readonly string[]): Promise<string> {
  const options = { encoding: 'utf8', timeout: limitMs } as const;
  return (await promisify(execFile)(program, args, options)).stdout.trim();
}

/** Waits for what no event tells of. */
export const waitUntil = (what: string, probe: () => Promise<boolean>): Promise<void> =>
  lab.waitUntil(what, probe, limitMs);
