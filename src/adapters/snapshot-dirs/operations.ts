// Where the work on directories is done: making them is a quick native call off the main thread;
// measuring, deleting and syncing can block and run in helper processes with a deadline.
import path from 'node:path';
import type { EffectFailure } from '../../machines/kernel/envelope.ts';
import type { DiskUsage, EffectResult } from '../../engine/ports.ts';
import type { HelperPool } from '../helper-pool/pool.ts';
import type { HelperOperation, HelperResult, HelperValues } from '../helper-pool/requests.ts';
import { makeLayers, type LayerRequest } from '../native/layer-directories.ts';
import type { DirectoryOperations } from './directories.ts';
import { gathered } from './gathering.ts';

/** Each call takes a thread of the pool that the log shares. */
const making = { callsMax: 2, requestsMax: 64 };

// Each kind of work has helpers of its own, so that none waits for another: a Commit neither for
// the deletion of large trees nor for the measuring of large containers.
const removal = { callsMax: 2, requestsMax: 32 };
const measuringForCommit = { callsMax: 2, requestsMax: 16 };
const measuringForQueries = { callsMax: 2, requestsMax: 1 };
/** One sync serves all that asked before it began. */
const syncing = { callsMax: 1, requestsMax: 4_096 };

/** As many helpers as all kinds together use. */
export const helperCount =
  removal.callsMax + measuringForCommit.callsMax + measuringForQueries.callsMax + syncing.callsMax;

/** Operations that may be begun again after a helper was ended in the middle. */
type Repeatable = Extract<HelperOperation, { readonly operation: 'disk-usage' | 'remove-tree' }>;

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
    making,
  );
  const removeTree = gathered(async (directories: readonly string[]) => {
    const operation = 'remove-tree' as const;
    const requests = directories.map((directory) => ({
      ...{ operation, path: directory, parent: path.dirname(directory) },
    }));
    const removed = await runAll(pool, requests, deadlineMs);
    return removed.map((one): EffectResult<void> => (one.ok ? done : failed(one)));
  }, removal);
  const measure = async (
    directories: readonly string[],
  ): Promise<readonly EffectResult<DiskUsage>[]> => {
    const operation = 'disk-usage' as const;
    const requests = directories.map((directory) => ({ operation, path: directory }));
    const measured = await runAll(pool, requests, deadlineMs);
    return measured.map((one) => (one.ok ? one : failed(one)));
  };
  const sync = gathered(async (requests: readonly undefined[]) => {
    const request = { operation: 'syncfs', path: snapshotsPath } as const;
    const synced = await pool.run(request, { deadlineMs });
    const result: EffectResult<void> = synced.ok ? done : failed(synced);
    return requests.map(() => result);
  }, syncing);
  return {
    makeLayer,
    removeTree,
    diskUsage: {
      commit: gathered(measure, measuringForCommit),
      query: gathered(measure, measuringForQueries),
    },
    sync: () => sync(undefined),
  };
}

/** Carries out requests of one kind in one helper; a result for each, in order. */
async function runAll<Request extends Repeatable>(
  pool: HelperPool,
  requests: readonly Request[],
  deadlineMs: number,
): Promise<readonly HelperResult<HelperValues[Request['operation']]>[]> {
  const [only, ...others] = requests;
  if (only !== undefined && others.length === 0) return [await pool.run(only, { deadlineMs })];
  const batch = await pool.run({ operation: 'batch', requests }, { deadlineMs });
  if (batch.ok) {
    return batch.value.replies as readonly HelperResult<HelperValues[Request['operation']]>[];
  }
  // One that hangs must not keep its neighbours from ever being done; one after another, so that
  // this call still takes one helper.
  const results: HelperResult<HelperValues[Request['operation']]>[] = [];
  for (const request of requests) results.push(await pool.run(request, { deadlineMs }));
  return results;
}

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
