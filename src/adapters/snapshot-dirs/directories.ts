// The snapshots' directories: `<root>/snapshots/<id>/{fs,work}`. Names below `snapshots` are ids
// only, never anything that a client chose. System calls that can block run where `operations`
// puts them.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type {
  DiskUsage,
  EffectResult,
  SnapshotDirectories,
  UsagePurpose,
} from '../../engine/ports.ts';

import { forgetLimit, limitDirectory } from './project-quota.ts';

type CreateRequest = Parameters<SnapshotDirectories['create']>[0];

/** What the composition root provides: the native calls, each with a failure as a value. */
export interface DirectoryOperations {
  /**
   * Makes `<id>` with `fs`, which gets the owner of the parent's, and, if asked, `work`; EEXIST if
   * `<id>` exists.
   */
  makeLayer(request: CreateRequest): Promise<EffectResult<void>>;
  readonly diskUsage: Readonly<
    Record<UsagePurpose, (directory: string) => Promise<EffectResult<DiskUsage>>>
  >;
  removeTree(directory: string): Promise<EffectResult<void>>;
  /** Syncs the file system that holds all of them. */
  sync(): Promise<EffectResult<void>>;
}

const done: EffectResult<void> = { ok: true, value: undefined };

/** The directories below `snapshotsPath`, an existing absolute path. */
export function snapshotDirectories(
  snapshotsPath: string,
  operations: DirectoryOperations,
): SnapshotDirectories {
  const directoryOf = (snapshotId: number): string => path.join(snapshotsPath, String(snapshotId));
  return {
    path: snapshotsPath,
    create: (request) => create(snapshotsPath, request, operations),
    async usage(snapshotId, purpose, parts) {
      const measure = operations.diskUsage[purpose];
      const files = await measure(path.join(directoryOf(snapshotId), 'fs'));
      if (parts === 'files' || !files.ok) return files;
      const blocks = await measure(path.join(directoryOf(snapshotId), 'block'));
      return blocks.ok ? { ok: true, value: sum(files.value, blocks.value) } : blocks;
    },
    sync: () => operations.sync(),
    async remove(snapshotId, isLimited = false) {
      const removed = await operations.removeTree(directoryOf(snapshotId));
      if (removed.ok && isLimited) forgetLimit(snapshotsPath, snapshotId);
      return removed;
    },
    list: () => list(snapshotsPath),
  };
}

const sum = (one: DiskUsage, other: DiskUsage): DiskUsage => ({
  sizeBytes: one.sizeBytes + other.sizeBytes,
  inodeCount: one.inodeCount + other.inodeCount,
});

async function create(
  snapshotsPath: string,
  request: CreateRequest,
  operations: DirectoryOperations,
): Promise<EffectResult<void>> {
  const { snapshotId, withWork, quotaBytes } = request;
  const directory = path.join(snapshotsPath, String(snapshotId));
  const made = await operations.makeLayer(request);
  if (!made.ok) {
    const isMade = made.failure.code === 'EEXIST' && (await isEmptyLayer(directory, withWork));
    if (!isMade) return made;
  }
  return quotaBytes === null
    ? done
    : limitDirectory(directory, { projectId: snapshotId, limitBytes: quotaBytes });
}

/** Whether a layer that exists is as `create` leaves it: nothing in it belongs to anybody yet. */
async function isEmptyLayer(directory: string, withWork: boolean): Promise<boolean> {
  const expected = withWork ? ['fs', 'work'] : ['fs'];
  try {
    const names = (await readdir(directory)).sort();
    if (names.join('/') !== expected.join('/')) return false;
    for (const name of names) {
      if ((await readdir(path.join(directory, name))).length > 0) return false;
    }
    return true;
  } catch {
    // Not a directory, or gone in between: then it is not what create makes.
    return false;
  }
}

async function list(snapshotsPath: string): ReturnType<SnapshotDirectories['list']> {
  const snapshotIds: number[] = [];
  const foreign: string[] = [];
  for (const name of await readdir(snapshotsPath)) {
    const id = /^[1-9][0-9]{0,15}$/.test(name) ? Number(name) : NaN;
    if (Number.isSafeInteger(id)) snapshotIds.push(id);
    else foreign.push(name);
  }
  return { snapshotIds: snapshotIds.sort((left, right) => left - right), foreign: foreign.sort() };
}
