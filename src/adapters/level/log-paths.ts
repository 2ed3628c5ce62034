// Where things lie below the root.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface LogPaths {
  readonly root: string;
  /** LevelDB's directory. */
  readonly log: string;
  readonly tip: string;
  readonly export: string;
  readonly quarantine: string;
  /** Present while the log is open: found at an opening, the last process did not end in order. */
  readonly running: string;
  /** Present after a write failed over a damaged block: the next opening verifies everything. */
  readonly doubt: string;
}

export function logPaths(root: string): LogPaths {
  return {
    root,
    log: join(root, 'log'),
    tip: join(root, 'log.tip'),
    export: join(root, 'log.export'),
    quarantine: join(root, 'quarantine'),
    running: join(root, 'log.running'),
    doubt: join(root, 'log.doubt'),
  };
}

/** Whether anything lies at a path. */
export async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
