// Opens the durable store in a scratch directory that is removed at the end, whatever happened.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CrashPoint, Logger } from '../../src/engine/ports.ts';
import { openLog, type OpenLogResult } from '../../src/adapters/level/open-log.ts';
import { countingClock, quietLogger } from './events.ts';

export type OpenResult = Extract<OpenLogResult, { status: 'open' }>;

export const reserveSizeBytes = 64 * 1024;

export function scratchRoot(): string {
  return mkdtempSync(join(tmpdir(), 'varve-store-'));
}

export function removeRoot(root: string): void {
  rmSync(root, { recursive: true, force: true });
}

export async function tryOpen(
  root: string,
  options: { readonly crashPoint?: CrashPoint; readonly logger?: Logger } = {},
): Promise<OpenLogResult> {
  const { crashPoint = () => undefined, logger = quietLogger } = options;
  return await openLog({ root, clock: countingClock, logger, crashPoint, reserveSizeBytes });
}

/** Opens a log that must be sound. */
export async function openSound(
  root: string,
  options: { readonly crashPoint?: CrashPoint } = {},
): Promise<OpenResult> {
  const result = await tryOpen(root, options);
  assert.equal(result.status, 'open', JSON.stringify(result));
  assert.ok(result.status === 'open');
  assert.deepEqual(result.opened.damage, []);
  return result;
}
