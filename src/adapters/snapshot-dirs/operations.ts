// Where the work on directories is done: making them is a quick native call off the main thread;
// measuring, deleting and syncing can block and run in helper processes with a deadline.
import path from 'node:path';
import type { EffectFailure } from '../../machines/kernel/envelope.ts';
import type { EffectResult } from '../../engine/ports.ts';
import type { HelperPool } from '../helper-pool/pool.ts';
import type { HelperResult } from '../helper-pool/requests.ts';
import { makeLayers, type LayerRequest } from '../native/layer-directories.ts';
import type { DirectoryOperations } from './directories.ts';
import { gathered } from './gathering.ts';

/** Each call takes a thread of the pool that the log shares. */
const makingLimits = { callsMax: 2, requestsMax: 64 };

/** Half of the helper processes: deletions of large trees must not keep Commit waiting. */
const removalLimits = { callsMax: 2, requestsMax: 32 };

const done = { ok: true, value: undefined } as const;

/** Operations on the directories below `snapshotsPath`; what can block gets `deadlineMs`. */
export function directoryOperations(
  pool: HelperPool,
  { snapshotsPath, deadlineMs }: { readonly snapshotsPath: string; readonly deadlineMs: number },
): DirectoryOperations {
  const makeLayer = gathered(
    async (requests: readonly LayerRequest[]): Promise<readonly EffectResult<void>[]> =>
      (await makeLayers(snapshotsPath, requests)).map((made, index) => {
        const failedPath = path.join(snapshotsPath, String(requests[index]?.snapshotId));
        return made.ok ? done : failed({ ...made, step: 'mkdir', path: failedPath });
      }),
    makingLimits,
  );
  const removeTree = gathered(
    (directories: readonly string[]) => removeTrees(pool, { directories, deadlineMs }),
    removalLimits,
  );
  return {
    makeLayer,
    removeTree,
    async diskUsage(directory) {
      const usage = await pool.run({ operation: 'disk-usage', path: directory }, { deadlineMs });
      return usage.ok ? usage : failed(usage);
    },
    async sync(directory) {
      const synced = await pool.run({ operation: 'syncfs', path: directory }, { deadlineMs });
      return synced.ok ? done : failed(synced);
    },
  };
}

async function removeTrees(
  pool: HelperPool,
  { directories, deadlineMs }: { directories: readonly string[]; deadlineMs: number },
): Promise<readonly EffectResult<void>[]> {
  const requests = directories.map(
    (directory) =>
      ({ operation: 'remove-tree', path: directory, parent: path.dirname(directory) }) as const,
  );
  const [only, ...others] = requests;
  if (only !== undefined && others.length === 0) {
    return [removalOf(await pool.run(only, { deadlineMs }))];
  }
  const batch = await pool.run({ operation: 'batch', requests }, { deadlineMs });
  if (batch.ok) return batch.value.replies.map(removalOf);
  // One that hangs must not keep its neighbours from ever being deleted; one after another, so that
  // this call still takes one helper.
  const removals: EffectResult<void>[] = [];
  for (const request of requests) removals.push(removalOf(await pool.run(request, { deadlineMs })));
  return removals;
}

const removalOf = (removed: HelperResult<unknown>): EffectResult<void> =>
  removed.ok ? done : failed(removed);

function failed({ step, code, message, path: failedPath }: EffectFailure): {
  readonly ok: false;
  readonly failure: EffectFailure;
} {
  const failure = { step, code, message };
  return {
    ok: false,
    failure: failedPath === undefined ? failure : { ...failure, path: failedPath },
  };
}
