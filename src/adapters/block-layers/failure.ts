// What went wrong with a file of a layer, as an effect's failure.
import type { EffectResult } from '../../engine/ports.ts';

/** The failure of `step` at `path`. */
export function failedAt(step: string, path: string, error: unknown): EffectResult<never> {
  const { code = 'EIO', message } = error as NodeJS.ErrnoException;
  return { ok: false, failure: { step, code, message, path } };
}
