// Opens the durable store in a scratch directory that is removed at the end, whatever happened.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CrashPoint, Logger } from '../../src/engine/ports.ts';
import { openLog, type OpenLogResult } from '../../src/adapters/level/open-log.ts';
import { repairLog, type RepairResult } from '../../src/adapters/level/repair.ts';
import type { StartFold } from '../../src/adapters/level/repair-plan.ts';
import { GapFold } from '../../src/machines/gap-fold.ts';
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

/** Repairs the log of a root, as `varve repair` does. */
export async function repairRoot(root: string, crashPoint?: CrashPoint): Promise<RepairResult> {
  const startFold: StartFold = (base) => new GapFold(base);
  const options = { root, logger: quietLogger, clock: countingClock, startFold };
  return await repairLog({ ...options, ...(crashPoint && { crashPoint }) });
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
