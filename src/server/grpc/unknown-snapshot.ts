// What Snapshot answers when nothing bears the key now: the nearest key, and where to look for one
// that is removed.
import { nearestName } from '../../config/nearest.ts';
import { rejected, type Result } from '../../machines/kernel/rejection.ts';

const keyLengthMax = 200;

/** The refusal for `key`; `names` are those that there are. */
export function nothingBears(key: string, names: readonly string[]): Result<never> {
  const nearest = nearestName(key, names);
  const shown = JSON.stringify(key.slice(0, keyLengthMax));
  const next =
    nearest === undefined
      ? 'varve ls lists what there is,'
      : `did you mean ${JSON.stringify(nearest)}?`;
  return rejected(
    'not_found',
    `no snapshot has the key or name ${shown}; ${next} varve why tells of removed ones`,
  );
}
