// The composition root: the only file that names concrete adapters.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { HelperPool } from '../adapters/helper-pool/pool.ts';
import { openLog } from '../adapters/level/open-log.ts';
import { nativeDirectory } from '../adapters/native/library.ts';
import { takeLock } from '../adapters/native/lock.ts';
import { notify } from '../adapters/native/notify.ts';
import { probeOverlayUpper } from '../adapters/native/overlay-probe.ts';
import { compileExpression } from '../adapters/regular-expression/re2.ts';
import { directoryOperations } from '../adapters/snapshot-dirs/operations.ts';
import { snapshotDirectories } from '../adapters/snapshot-dirs/directories.ts';
import { prepareRoot, prepareSnapshots } from '../adapters/snapshot-dirs/root.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { crashPoints } from '../adapters/system/crash-points.ts';
import { newRequestId, readBootId } from '../adapters/system/ids.ts';
import { openLogger } from '../adapters/system/logger.ts';
import type { Configuration } from '../config/configuration.ts';
import { StartRefused, type ProcessLogger, type ServerPorts } from './ports.ts';

/** Present where the kernel knows the option; then mounts must switch it off, as containerd does. */
const overlayIndexParameter = '/sys/module/overlay/parameters/index';

export type Composed =
  | { readonly ports: ServerPorts }
  | { readonly refused: string; readonly logger: ProcessLogger };

/** Opens everything but the log; the root is locked and checked. */
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
  { logger, version }: { readonly logger: ProcessLogger; readonly version: string },
): Promise<ServerPorts> {
  const crashPoint = crashPoints(process.env);
  const clock = systemClock();
  const root = await prepareRoot(configuration.root);
  lockRoot(root);
  const snapshotsPath = await prepareSnapshots(root, probeOverlayUpper);
  const pool = openHelperPool(logger);
  const { effectDeadlineMs } = configuration;
  const operations = directoryOperations(pool, effectDeadlineMs);
  const directories = snapshotDirectories(snapshotsPath, operations);
  return {
    ...{ logger, clock, crashPoint, newRequestId, compileExpression, version, root, directories },
    indexOff: existsSync(overlayIndexParameter),
    bootId: await readBootId(),
    openLog: () => openLog({ root, clock, logger, crashPoint }),
    notify,
    close: () => pool.close(),
  };
}

function lockRoot(root: string): void {
  const lockPath = path.join(root, 'lock');
  const taken = takeLock(lockPath);
  if (taken.ok) return;
  if (taken.code !== 'EAGAIN') {
    throw new StartRefused(`${lockPath} cannot be locked: ${taken.message} (${taken.code})`);
  }
  const holder = readFileSync(lockPath, 'utf8').trim();
  throw new StartRefused(
    `another varve serve (process ${holder}) uses the root ${root}: stop it, or choose another root`,
  );
}

function openHelperPool(logger: ProcessLogger): HelperPool {
  const program = path.join(nativeDirectory(), 'varve-helper');
  if (!existsSync(program)) throw new StartRefused(`${program} is missing: run make build`);
  return new HelperPool({
    program,
    onAbandoned: (pid, request) => {
      logger.error({ pid, request }, 'a helper is stuck in the kernel and was left behind');
    },
  });
}
