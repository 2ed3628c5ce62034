// The composition root: the only file that names concrete adapters.
import { existsSync } from 'node:fs';
import { backingStoreFigures } from '../adapters/block-daemon/figures.ts';
import { BlockDaemonTransport, servesTarget } from '../adapters/block-daemon/transport.ts';
import { TransportDevices } from '../adapters/block-devices/devices.ts';
import { blockLayers } from '../adapters/block-layers/layers.ts';
import { makeWritableLayer } from '../adapters/block-layers/writable.ts';
import { HelperPool } from '../adapters/helper-pool/pool.ts';
import { whyNoneConfigurable } from '../adapters/kernel-target/names.ts';
import { upstreamProcess } from '../adapters/kernel-target/served-by.ts';
import { KernelTarget } from '../adapters/kernel-target/transport.ts';
import { openLog } from '../adapters/level/open-log.ts';
import { openOrMend } from '../adapters/level/open-or-mend.ts';
import { isNoSpaceCode } from '../adapters/native/errno.ts';
import {
  probeOverlayUpper,
  probeOverlayUpperAsync,
  type OverlayProbeFailure,
  type OverlayUpperProblem,
} from '../adapters/native/layer-directories.ts';
import { findNativeFile } from '../adapters/native/location.ts';
import { notifyServiceManager } from '../adapters/native/notify.ts';
import { lockRoot } from '../adapters/native/root-lock.ts';
import { exitNow } from '../adapters/native/processes.ts';
import { compileExpression } from '../adapters/regular-expression/re2.ts';
import { snapshotDirectories } from '../adapters/snapshot-dirs/directories.ts';
import { directoryOperations, helperCount } from '../adapters/snapshot-dirs/operations.ts';
import { mountsInUse } from '../adapters/snapshot-dirs/mounts-in-use.ts';
import { prepareRoot, prepareSnapshots } from '../adapters/snapshot-dirs/root.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { crashPoints } from '../adapters/system/crash-points.ts';
import { makeDirectory } from '../adapters/system/directories.ts';
import { missingPrograms } from '../adapters/system/programs.ts';
import { newRequestId, readBootId } from '../adapters/system/ids.ts';
import { openLogger, type PinoLogger } from '../adapters/system/logger.ts';
import type { AbandonedWorker } from '../adapters/helper-pool/abandoned-workers.ts';
import type { Configuration } from '../config/configuration.ts';
import { attachConcurrencyMax, detachConcurrencyMax } from '../engine/limits.ts';
import type { Checkpoint } from '../machines/checkpoint.ts';
import { GapFold } from '../machines/gap-fold.ts';
import {
  RootHeld,
  StartRefused,
  type DoctorPorts,
  type ExitNow,
  type ProcessLogger,
  type ServerPorts,
} from './ports.ts';

/**
 * Present where the kernel knows the option; then mounts must switch it off, as containerd does.
 */
const overlayIndexParameter = '/sys/module/overlay/parameters/index';

/**
 * As many as devices may be attached and detached at a time, so that one that hangs delays none but
 * its own image's, and some to look at what there is; and room for those whose devices never answer
 * again.
 */
const deviceHelpers = {
  workersMax: attachConcurrencyMax + detachConcurrencyMax + 2,
  abandonedBounds: { abandonedMax: 128, abandonedOfOperationMax: 64 },
};

/** What clients run to mount an overlay without the kernel, by containerd's type `fuse3.…`. */
const fuseOverlayPrograms = ['mount.fuse3', 'fuse-overlayfs'] as const;

/** Requests that may wait for a helper: CRI asks for the usage of every container at once. */
const helperQueueMax = 4_096;

export type Composed = { readonly exitNow: ExitNow } & (
  { readonly ports: ServerPorts } | { readonly refused: string; readonly logger: ProcessLogger }
);

/** Opens everything but the log; the root is checked, and locked until the process ends. */
export async function compose(configuration: Configuration, version: string): Promise<Composed> {
  const logger = await openLogger(configuration.logLevel);
  try {
    const ports = await composePorts(configuration, { logger, version, openLog: openOrMend });
    return { ports, exitNow };
  } catch (error) {
    return { refused: (error as Error).message, logger, exitNow };
  }
}

/**
 * The same for a command that examines a root that exists, and says itself what it found: nothing
 * is logged, and damage is not mended. Throws RootHeld, or why it cannot.
 */
export async function composeExamination(
  configuration: Configuration,
  version: string,
): Promise<ServerPorts> {
  const logger = await openLogger('silent');
  return composePorts(configuration, { logger, version, openLog });
}

/** Checks the root and locks it; finds out whether the kernel mounts overlays on it. */
async function takeRoot(
  configuration: Configuration,
  logger: PinoLogger,
): Promise<{ readonly root: string; readonly snapshotsPath: string; readonly isKernel: boolean }> {
  const root = await prepareRoot(configuration.root, makeDirectory);
  // Held until the process ends.
  const locked = lockRoot(root);
  if (!locked.ok) {
    const Refused = locked.isHeld ? RootHeld : StartRefused;
    throw new Refused(`${locked.reason}: ${locked.next}, or choose another root`);
  }
  const prepared = await prepareSnapshots(root, {
    ...{ makeDirectory, overlay: configuration.overlay },
    whyNoOverlayUpper: (directory) => whyNoOverlayUpper(directory, logger),
    missingFusePrograms: () => missingPrograms(fuseOverlayPrograms),
  });
  const { path: snapshotsPath, reason } = prepared;
  if (reason !== undefined) {
    logger.warn(
      { root, reason },
      'the kernel cannot mount overlays on the root: fuse-overlayfs does',
    );
  }
  return { root, snapshotsPath, isKernel: prepared.overlay === 'kernel' };
}

async function composePorts(
  configuration: Configuration,
  {
    logger,
    version,
    openLog: openLogWith,
  }: {
    readonly logger: PinoLogger;
    readonly version: string;
    readonly openLog: typeof openOrMend;
  },
): Promise<ServerPorts> {
  const crashPoint = crashPoints(process.env);
  const clock = systemClock();
  const { root, snapshotsPath, isKernel } = await takeRoot(configuration, logger);
  const helpers = {
    program: findNativeFile('varve-helper'),
    queueMax: helperQueueMax,
    onAbandoned: (worker: AbandonedWorker) => {
      logger.error({ ...worker }, 'a helper is stuck in the kernel and was left behind');
    },
  };
  // A device that hangs holds none of those that work on directories.
  const pool = new HelperPool({ ...helpers, workersMax: helperCount });
  const devicePool = new HelperPool({ ...helpers, ...deviceHelpers });
  const { effectDeadlineMs: deadlineMs, blockDaemonAddress: socketPath, transport } = configuration;
  const tool = { program: findNativeFile('varve-layer'), deadlineMs };
  const startFold = (base: Checkpoint | undefined): GapFold => new GapFold(base);
  const operations = directoryOperations(pool, { snapshotsPath, deadlineMs });
  return {
    ...{ logger, clock, crashPoint, newRequestId, compileExpression, version, root },
    directories: snapshotDirectories(snapshotsPath, operations),
    blockDevices: new TransportDevices({
      ...{ snapshotsPath, pool: devicePool, deadlineMs, transport, logger },
      daemon: new BlockDaemonTransport({
        ...{ socketPath, snapshotsPath, deadlineMs },
        mayBeAbsent: async () =>
          transport === 'tcmu' || (transport === 'auto' && (await upstreamProcess()) !== undefined),
      }),
      target: new KernelTarget({
        ...{ snapshotsPath, pool: devicePool, deadlineMs, crashPoint },
        tenant: configuration.tenant,
        servedBy: () => targetServer(socketPath),
      }),
      makeWritableLayer: (snapshotId, layer) =>
        makeWritableLayer(snapshotsPath, { snapshotId, layer }, tool),
    }),
    blockLayers: blockLayers({ snapshotsPath, tool }),
    mountsInUse: () => mountsInUse(snapshotsPath),
    backingStoreFigures: () => backingStoreFigures(socketPath, snapshotsPath),
    makeDirectory,
    indexOff: isKernel && existsSync(overlayIndexParameter),
    overlayType: isKernel ? 'overlay' : 'fuse3.fuse-overlayfs',
    bootId: await readBootId(),
    openLog: () => openLogWith({ root, clock, logger, crashPoint, startFold }),
    // A manager that does not listen is no reason to fail: the service is what it is.
    notify: (state) => void notifyServiceManager(state),
    close: async () => {
      await Promise.all([pool.close(), devicePool.close()]);
    },
  };
}

/** Who serves the devices of the kernel's target, in words; undefined if nobody does. */
const targetServer = async (socketPath: string): Promise<string | undefined> =>
  (await servesTarget(socketPath)) ? 'varve-bd' : upstreamProcess();

/** What `varve doctor` asks beside what it reads itself; nothing is locked or opened. */
export function composeDoctor({ blockDaemonAddress }: Configuration): DoctorPorts {
  return {
    exitNow,
    upstreamProcess: () => upstreamProcess(),
    whyNotConfigurable: whyNoneConfigurable,
    backingStoreFigures: (snapshotsPath) => backingStoreFigures(blockDaemonAddress, snapshotsPath),
    async whyNoOverlayUpper(directory) {
      const probed = await probeOverlayUpperAsync(directory);
      return probed.ok ? undefined : problemText(probed);
    },
  };
}

const problemWords: Readonly<Record<OverlayUpperProblem, string>> = {
  'on-overlay': 'it is an overlay itself',
  'scratch-directory': 'a scratch directory cannot be made in it',
  'entry-type': 'its directory entries carry no file type',
  'trusted-xattr': 'trusted extended attributes do not work on it',
  whiteout: 'whiteouts cannot be made on it',
};

function whyNoOverlayUpper(directory: string, logger: ProcessLogger): string | undefined {
  const probed = probeOverlayUpper(directory);
  if (probed.ok) return undefined;
  if (isNoSpaceCode(probed.code)) {
    // No verdict on the file system, and no reason to stop what frees space.
    logger.warn({ directory, code: probed.code }, 'the disk is full: overlay was not tried on it');
    return undefined;
  }
  return problemText(probed);
}

function problemText({ problems, code }: OverlayProbeFailure): string {
  const words = problems.map((problem) => problemWords[problem]);
  return words.length === 0 ? code : words.join(', ');
}
