// The snapshots' directories: `<root>/snapshots/<id>/{fs,work}`. Names below `snapshots` are ids
// only, never anything that a client chose. System calls that can block run where `operations`
// puts them.
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { EffectFailure } from '../../machines/kernel/envelope.ts';
import type { DiskUsage, EffectResult, SnapshotDirectories } from '../../engine/ports.ts';

/** What the composition root provides: the native calls, each with a failure as a value. */
export interface DirectoryOperations {
  /** Makes `<directory>/<id>` with `fs` and, if asked, `work`; EEXIST if `<id>` exists. */
  makeLayer(request: {
    readonly directory: string;
    readonly id: string;
    readonly withWork: boolean;
    /** Owner of `fs`; undefined: this process. */
    readonly owner: Owner | undefined;
  }): Promise<EffectResult<void>>;
  diskUsage(directory: string): Promise<EffectResult<DiskUsage>>;
  removeTree(directory: string): Promise<EffectResult<void>>;
  sync(directory: string): Promise<EffectResult<void>>;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

type CreateRequest = Parameters<SnapshotDirectories['create']>[0];

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
    usage: (snapshotId) => operations.diskUsage(path.join(directoryOf(snapshotId), 'fs')),
    sync: (snapshotId) => operations.sync(directoryOf(snapshotId)),
    remove: (snapshotId) => operations.removeTree(directoryOf(snapshotId)),
    list: () => list(snapshotsPath),
  };
}

async function create(
  snapshotsPath: string,
  request: CreateRequest,
  operations: DirectoryOperations,
): Promise<EffectResult<void>> {
  const { snapshotId, parentId, withWork } = request;
  let owner: Owner | undefined;
  if (parentId !== null) {
    const parentPath = path.join(snapshotsPath, String(parentId), 'fs');
    const found = await ownerOf(parentPath);
    if (!found.ok) return found;
    owner = isOwn(found.value) ? undefined : found.value;
  }
  const id = String(snapshotId);
  const made = await operations.makeLayer({ directory: snapshotsPath, id, withWork, owner });
  if (made.ok || made.failure.code !== 'EEXIST') return made;
  return (await isEmptyLayer(path.join(snapshotsPath, id), withWork)) ? done : made;
}

async function ownerOf(directory: string): Promise<EffectResult<Owner>> {
  try {
    const { uid, gid } = await lstat(directory);
    return { ok: true, value: { uid, gid } };
  } catch (error) {
    return { ok: false, failure: failureOf(error, 'stat', directory) };
  }
}

const isOwn = ({ uid, gid }: Owner): boolean =>
  uid === process.geteuid?.() && gid === process.getegid?.();

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

function failureOf(error: unknown, step: string, failedPath: string): EffectFailure {
  const { code, message } = error as NodeJS.ErrnoException;
  return { step, code: code ?? 'EIO', message, path: failedPath };
}
