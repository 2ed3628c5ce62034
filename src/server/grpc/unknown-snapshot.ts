// What Snapshot and Why answer when nothing bears, or ever bore, the key: the nearest key, and
// where to look.
import { nearestKey } from '../../config/nearest.ts';
import { neverSeenText } from '../../history/names.ts';
import { rejected, type Result } from '../../machines/kernel/rejection.ts';

const keyLengthMax = 200;

/** The refusal for `key`; `names` are those that there are. */
export function nothingBears(key: string, names: readonly string[]): Result<never> {
  const nearest = nearestKey(key, names);
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

/** The refusal for `key` when no event since `firstSeq` names it; `names` are those seen. */
export function nothingEverBore(
  key: string,
  names: readonly string[],
  firstSeq: number,
): Result<never> {
  const said = { firstSeq, nearest: nearestKey(key, names), lister: 'varve ls --all' };
  return rejected('not_found', neverSeenText(key, said));
}
