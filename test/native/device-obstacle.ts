// Whether this machine lets devices be attached.
import { accessSync, constants } from 'node:fs';
import { isRoot } from './scratch.ts';

/** Why devices cannot be attached here; undefined if they can. */
export function deviceObstacle(): string | undefined {
  if (!isRoot) return 'needs root';
  for (const path of ['/dev/fuse', '/dev/loop-control']) {
    try {
      accessSync(path, constants.R_OK | constants.W_OK);
    } catch {
      return `needs ${path}`;
    }
  }
  return undefined;
}
