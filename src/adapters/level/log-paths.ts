// Where things lie below the root.
import { join } from 'node:path';

export interface LogPaths {
  readonly root: string;
  /** LevelDB's directory. */
  readonly log: string;
  readonly tip: string;
  readonly export: string;
  readonly quarantine: string;
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
    doubt: join(root, 'log.doubt'),
  };
}
