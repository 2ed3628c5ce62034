// Where the work on directories is done: making them is one quick native call off the main thread;
// measuring, deleting and syncing can block and run in helper processes with a deadline.
import path from 'node:path';
import type { EffectFailure } from '../../machines/kernel/envelope.ts';
import type { HelperPool } from '../helper-pool/pool.ts';
import { makeLayerDirectoriesAsync } from '../native/layer-directories.ts';
import type { DirectoryOperations } from './directories.ts';

const done = { ok: true, value: undefined } as const;

/** Operations whose blocking part is bounded by `deadlineMs` each. */
export function directoryOperations(pool: HelperPool, deadlineMs: number): DirectoryOperations {
  return {
    async makeLayer({ directory, id, withWork, owner }) {
      const request = { snapshotsPath: directory, snapshotId: Number(id), withWork, owner };
      const made = await makeLayerDirectoriesAsync(request);
      return made.ok ? done : failed({ ...made, step: 'mkdir', path: path.join(directory, id) });
    },
    async diskUsage(directory) {
      const usage = await pool.run({ operation: 'disk-usage', path: directory }, { deadlineMs });
      return usage.ok ? usage : failed(usage);
    },
    async removeTree(directory) {
      const parent = path.dirname(directory);
      const request = { operation: 'remove-tree', path: directory, parent } as const;
      const removed = await pool.run(request, { deadlineMs });
      return removed.ok ? done : failed(removed);
    },
    async sync(directory) {
      const synced = await pool.run({ operation: 'syncfs', path: directory }, { deadlineMs });
      return synced.ok ? done : failed(synced);
    },
  };
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
