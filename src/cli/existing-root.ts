// Whether a directory is the root of a node: for commands that open one without serving it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CliFailure, exitCodes } from './exit-codes.ts';

/** Opening a log makes one where there is none: a mistyped root must not become one. */
export function refuseForeignRoot(root: string): void {
  const isRoot = ['log', 'log.tip', 'log.export', 'quarantine'].some((name) =>
    existsSync(join(root, name)),
  );
  if (isRoot) return;
  throw new CliFailure(
    exitCodes.failure,
    `${root} holds no log of varve: name the data directory of varve serve with --root`,
  );
}
