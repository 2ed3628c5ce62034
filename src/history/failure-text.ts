// A failed effect in words. The recorded message may begin with the step and the path, which the
// sentence around it names already.
import type { EffectFailure } from '../machines/kernel/envelope.ts';
import { printable } from './text.ts';

/** Why it failed, without what the failure's other fields say. */
export function failureReason({ step, path, message }: EffectFailure): string {
  const beginnings = [`${step} ${path ?? ''}: `, `${step}: `];
  const beginning = beginnings.find((text) => message.startsWith(text)) ?? '';
  return printable(message.slice(beginning.length));
}
