// The composition root: the only file that names concrete adapters.
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { openLog } from '../adapters/level/open-log.ts';
import { compileExpression } from '../adapters/regular-expression/re2.ts';
import { snapshotDirectories } from '../adapters/snapshot-dirs/directories.ts';
import { prepareRoot, prepareSnapshots } from '../adapters/snapshot-dirs/root.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { crashPoints } from '../adapters/system/crash-points.ts';
import { newRequestId, readBootId } from '../adapters/system/ids.ts';
import { openLogger } from '../adapters/system/logger.ts';
import type { Configuration } from '../config/configuration.ts';
import type { ProcessLogger, ServerPorts } from './ports.ts';

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
  const snapshotsPath = await prepareSnapshots(root, () => undefined);
  const directories = snapshotDirectories(snapshotsPath, {
    makeLayer: async ({ directory, id, withWork }) => {
      await mkdir(path.join(directory, id, 'fs'), { recursive: true });
      if (withWork) await mkdir(path.join(directory, id, 'work'), { recursive: true });
      return { ok: true, value: undefined };
    },
    diskUsage: async () => ({ ok: true, value: { sizeBytes: 4096, inodeCount: 1 } }),
    removeTree: async (directory) => {
      await rm(directory, { recursive: true, force: true });
      return { ok: true, value: undefined };
    },
    sync: async () => ({ ok: true, value: undefined }),
  });
  return {
    ...{ logger, clock, crashPoint, newRequestId, compileExpression, version, root, directories },
    indexOff: existsSync(overlayIndexParameter),
    bootId: await readBootId(),
    openLog: () => openLog({ root, clock, logger, crashPoint }),
    notify: () => undefined,
    close: async () => undefined,
  };
}
