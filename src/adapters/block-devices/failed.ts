// The two ends of an effect.
import type { EffectResult } from '../../engine/ports.ts';
import type { EffectFailure } from '../../machines/kernel/envelope.ts';

export const done: EffectResult<void> = { ok: true, value: undefined };

/** Of a failure the fields that are recorded. */
export const failed = ({ step, code, message, path }: EffectFailure): EffectResult<never> => ({
  ok: false,
  failure: path === undefined ? { step, code, message } : { step, code, message, path },
});
