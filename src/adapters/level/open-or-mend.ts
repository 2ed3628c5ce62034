// Opens the log for a server. Damage in old history alone must not keep it from serving: where such
// damage keeps LevelDB from opening or writing the log, a log of all that is sound takes its place
// first, as `varve repair` would build it. Damage after the newest checkpoint is left to an
// operator.
import type { Damage } from '../../engine/ports.ts';
import { failureMessage } from './database.ts';
import { openLog, type OpenLogOptions, type OpenLogResult } from './open-log.ts';
import { mendHistory } from './repair.ts';
import type { StartFold } from './repair-plan.ts';

export interface OpenOrMendOptions extends OpenLogOptions {
  readonly startFold: StartFold;
}

/** What keeps the log from being written, if it may lie before the newest checkpoint alone. */
function obstacle(result: OpenLogResult): readonly Damage[] | undefined {
  if (result.status === 'damaged') return result.damage;
  return result.status === 'open' && result.isBlockedByHistory ? result.opened.damage : undefined;
}

export async function openOrMend(options: OpenOrMendOptions): Promise<OpenLogResult> {
  const { logger } = options;
  const result = await openLog(options);
  const damage = obstacle(result);
  if (damage === undefined) return result;
  if (result.status === 'open') await result.opened.store.close();
  try {
    const mended = await mendHistory(options, damage);
    if (mended !== undefined) {
      for (const note of mended.notes) logger.warn({}, note);
    } else if (result.status !== 'open') {
      return result;
    }
  } catch (error) {
    logger.error({ err: error, cause: failureMessage(error) }, 'old history could not be mended');
    if (result.status !== 'open') return result;
  }
  return await openLog(options);
}
