// What the server needs of the process and the machine. compose.ts provides the real ones.
import type { OverlayType } from '../machines/snapshot/mounts.ts';
import type {
  BackingStoreFigures,
  BlockDevices,
  BlockLayers,
  Clock,
  CrashPoint,
  Damage,
  EffectResult,
  MountInUse,
  OpenedLog,
  Logger,
  SnapshotDirectories,
  SpaceGuard,
} from '../engine/ports.ts';
import type { CompileExpression } from '../engine/queries.ts';

/** What opening the log came to. */
export type LogOpening =
  | { readonly status: 'open'; readonly opened: OpenedLog; readonly spaceGuard: SpaceGuard }
  | {
      readonly status: 'damaged';
      readonly damage: readonly Damage[];
      readonly reason: string;
      readonly next: string;
    }
  | {
      readonly status: 'refused';
      readonly reason: string;
      readonly next: string;
      /** Whether only room on the disk is missing: with it the next opening succeeds. */
      readonly awaitsSpace?: boolean;
    };

/** The log lines of the process. */
export interface ProcessLogger extends Logger {
  fatal(fields: object, message: string): void;
  isLevelEnabled(level: string): boolean;
}

export interface ServerPorts {
  readonly logger: ProcessLogger;
  readonly clock: Clock;
  readonly crashPoint: CrashPoint;
  readonly newRequestId: () => string;
  readonly compileExpression: CompileExpression;
  /** Whether overlay mounts need `index=off`. */
  readonly indexOff: boolean;
  /** What mounts overlays. */
  readonly overlayType: OverlayType;
  readonly version: string;
  readonly bootId: string;
  /** The real path of the data directory. */
  readonly root: string;
  readonly directories: SnapshotDirectories;
  readonly blockDevices: BlockDevices;
  readonly blockLayers: BlockLayers;
  /** Every mount that uses the directories of snapshots. */
  readonly mountsInUse: () => Promise<readonly MountInUse[]>;
  /** Asks the backing store of block devices what they have done. */
  readonly backingStoreFigures: () => Promise<EffectResult<BackingStoreFigures>>;
  /** Makes a directory (0700) and what is missing above it; one that exists is left as it is. */
  makeDirectory(directory: string): Promise<void>;
  openLog(): Promise<LogOpening>;
  /** Tells the service manager, if there is one. */
  notify(state: string): void;
  /** Ends the helper processes. */
  close(): Promise<void>;
}

/** Ends the process at once, whatever a hung disk holds. */
export type ExitNow = (exitCode: number) => never;

/** What `varve doctor` needs of the machine beside what it reads itself. */
export interface DoctorPorts {
  readonly exitNow: ExitNow;
  readonly backingStoreFigures: (
    snapshotsPath: string,
  ) => Promise<EffectResult<BackingStoreFigures>>;
  /** The process of overlaybd's own daemon, in words; undefined if it does not run. */
  readonly upstreamProcess: () => Promise<string | undefined>;
  /** Why the kernel's target cannot be told of images below it; undefined if it can. */
  readonly whyNotConfigurable: (snapshotsPath: string) => string | undefined;
  /** Tries it, and leaves nothing behind; undefined if the directory can carry them. */
  readonly whyNoOverlayUpper: (directory: string) => Promise<string | undefined>;
}

/** The log is damaged, which only a repair may touch. */
export class RootDamaged extends Error {
  override readonly name = 'RootDamaged';
}

/** Somebody else serves, examines or repairs the root. */
export class RootHeld extends Error {
  override readonly name = 'RootHeld';
}

/** The server cannot start; the message says why and what to do. */
export class StartRefused extends Error {
  override readonly name = 'StartRefused';
}
