// The composition root: the only file that names concrete adapters.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { HelperPool } from '../adapters/helper-pool/pool.ts';
import type { HelperRequest } from '../adapters/helper-pool/protocol.ts';
import { openLog } from '../adapters/level/open-log.ts';
import { makeLayer } from '../adapters/native/layer-directories.ts';
import { nativeDirectory } from '../adapters/native/library.ts';
import { takeLock } from '../adapters/native/lock.ts';
import { notify } from '../adapters/native/notify.ts';
import { probeOverlayUpper } from '../adapters/native/overlay-probe.ts';
import { compileExpression } from '../adapters/regular-expression/re2.ts';
import {
  snapshotDirectories,
  type DirectoryOperations,
} from '../adapters/snapshot-dirs/directories.ts';
import { prepareRoot, prepareSnapshots } from '../adapters/snapshot-dirs/root.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { crashPoints } from '../adapters/system/crash-points.ts';
import { newRequestId, readBootId } from '../adapters/system/ids.ts';
import { openLogger, type PinoLogger } from '../adapters/system/logger.ts';
import type { Configuration } from '../config/configuration.ts';
import type { DiskUsage, EffectResult } from '../engine/ports.ts';
import { StartRefused, type ProcessLogger, type ServerPorts } from './ports.ts';

/** Present where the kernel knows the option; then mounts must switch it off, as containerd does. */
const overlayIndexParameter = '/sys/module/overlay/parameters/index';

export type Composed =
  | { readonly ports: ServerPorts }
  | { readonly refused: string; readonly logger: ProcessLogger };

/** Opens everything but the log; the root is checked, and locked until the process ends. */
export async function compose(configuration: Configuration, version: string): Promise<Composed> {
  const logger = await openLogger(configuration.logLevel);
  try {
    return { ports: await composePorts(configuration, { logger, version }) };
  } catch (error) {
    return { refused: (error as Error).message, logger };
  }
}

async function composePorts(
  configuration: Configuration,
  { logger, version }: { readonly logger: PinoLogger; readonly version: string },
): Promise<ServerPorts> {
  const crashPoint = crashPoints(process.env);
  const clock = systemClock();
  const root = await prepareRoot(configuration.root);
  lockRoot(root);
  const snapshotsPath = await prepareSnapshots(root, probeOverlayUpper);
  const pool = new HelperPool({
    program: path.join(nativeDirectory(), 'varve-helper'),
    onAbandoned: (pid, request) =>
      logger.error({ pid, request }, 'a helper is stuck in the kernel and was left behind'),
  });
  const { effectDeadlineMs } = configuration;
  const operations = directoryOperations(pool, { snapshotsPath, effectDeadlineMs });
  return {
    ...{ logger, clock, crashPoint, newRequestId, compileExpression, version, root, notify },
    directories: snapshotDirectories(snapshotsPath, operations),
    indexOff: existsSync(overlayIndexParameter),
    bootId: await readBootId(),
    openLog: () => openLog({ root, clock, logger, crashPoint }),
    close: () => pool.close(),
  };
}

/** Takes the lock that keeps a second server, and `varve repair`, off this root. */
function lockRoot(root: string): void {
  const lockPath = path.join(root, 'lock');
  const taken = takeLock(lockPath);
  if (taken.ok) return;
  if (taken.code !== 'EAGAIN') {
    throw new StartRefused(`the lock ${lockPath} cannot be taken: ${taken.message}`);
  }
  const holder = readFileSync(lockPath, 'utf8').trim();
  const who = holder === '' ? 'another varve' : `another varve (process ${holder})`;
  throw new StartRefused(`${who} uses the root ${root}: stop it or choose another root`);
}

/** What can block runs in helper processes; making directories is a quick native call. */
function directoryOperations(
  pool: HelperPool,
  options: { readonly snapshotsPath: string; readonly effectDeadlineMs: number },
): DirectoryOperations {
  const { snapshotsPath, effectDeadlineMs } = options;
  const run = async (
    request: HelperRequest,
  ): Promise<EffectResult<Readonly<Record<string, unknown>>>> => {
    const reply = await pool.run(request, { deadlineMs: effectDeadlineMs });
    if (reply.ok) return reply;
    const { step, code, message } = reply;
    const failure = { step, code, message };
    return {
      ok: false,
      failure: reply.path === undefined ? failure : { ...failure, path: reply.path },
    };
  };
  const runVoid = async (request: HelperRequest): Promise<EffectResult<void>> => {
    const result = await run(request);
    return result.ok ? { ok: true, value: undefined } : result;
  };
  return {
    makeLayer: async (request) => {
      const made = await makeLayer(request);
      if (made.ok) return made;
      const { code, message } = made;
      const failedPath = path.join(request.directory, request.id);
      return { ok: false, failure: { step: 'mkdir', code, message, path: failedPath } };
    },
    diskUsage: async (directory) => {
      const result = await run({ operation: 'disk-usage', path: directory });
      return result.ok ? { ok: true, value: result.value as unknown as DiskUsage } : result;
    },
    removeTree: (directory) =>
      runVoid({ operation: 'remove-tree', path: directory, parent: snapshotsPath }),
    sync: (directory) => runVoid({ operation: 'syncfs', path: directory }),
  };
}
