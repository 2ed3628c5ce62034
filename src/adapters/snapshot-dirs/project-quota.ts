// Size limits of snapshots' directories: a project of its own for each, whose id is the
// snapshot's, so that no two share a limit.
import path from 'node:path';
import type { EffectResult } from '../../engine/ports.ts';
import type { NativeFailure } from '../native/errno.ts';
import { setProject, setProjectLimit } from '../native/quota.ts';

/** Project ids have 32 bits; 0 is no project. */
const projectIdMax = 2 ** 32 - 1;

/** How the kernel says that a file system has no project quota. */
const missingCodes: readonly string[] = [
  ...['ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'ENOTTY', 'ESRCH', 'EINVAL'],
];

/** Limits what `fs` and `work` of a new snapshot may hold together. */
export function limitDirectory(
  directory: string,
  { projectId, limitBytes }: { readonly projectId: number; readonly limitBytes: number },
): EffectResult<void> {
  if (projectId > projectIdMax) {
    return refused(directory, 'ENOTSUP', `there is no project id for snapshot #${projectId}`);
  }
  for (const name of ['fs', 'work']) {
    const given = setProject(path.join(directory, name), projectId);
    if (!given.ok) return failedAt(directory, given);
  }
  const limited = setProjectLimit({ path: directory, projectId, limitBytes });
  return limited.ok ? { ok: true, value: undefined } : failedAt(directory, limited);
}

/** Forgets the limit of a snapshot whose directory is gone. */
export function forgetLimit(snapshotsPath: string, projectId: number): void {
  // What cannot be told, because there are no quotas, needs no forgetting.
  setProjectLimit({ path: snapshotsPath, projectId, limitBytes: 0 });
}

function failedAt(directory: string, { code, message }: NativeFailure): EffectResult<never> {
  return missingCodes.includes(code)
    ? refused(
        directory,
        'ENOTSUP',
        'the file system that holds the root has no project quotas, which a size limit ' +
          '(rootfsQuota, label disk_quota) needs: mount it with prjquota, or set no limit',
      )
    : refused(directory, code, `a size limit could not be set: ${message}`);
}

const refused = (directory: string, code: string, message: string): EffectResult<never> => ({
  ok: false,
  failure: { step: 'limit-size', code, message, path: directory },
});
