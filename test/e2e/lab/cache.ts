// Where downloads and builds that tests and the demo need are kept between runs. An entry appears
// whole or not at all, so an interrupted run leaves nothing half-made to be used.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Names another place for the cache: the demo keeps nothing beyond its own end. */
export const cacheVariable = 'VARVE_LAB_CACHE';

/** The cache directory: `$XDG_CACHE_HOME/varve`, by default below the home directory. */
export function cacheDirectory(): string {
  const named = process.env[cacheVariable] ?? '';
  if (named !== '') return named;
  const base = process.env['XDG_CACHE_HOME'] ?? '';
  return join(base === '' ? join(homedir(), '.cache') : base, 'varve');
}

/** The directory of an entry; `fill` makes its content when it is not there yet. */
export async function cached(
  entry: string,
  fill: (directory: string) => Promise<void>,
): Promise<string> {
  const path = join(cacheDirectory(), entry);
  if (existsSync(path)) return path;
  mkdirSync(dirname(path), { recursive: true });
  const partial = mkdtempSync(`${path}.partial-`);
  try {
    await fill(partial);
    if (!existsSync(path)) renameSync(partial, path);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return path;
}
