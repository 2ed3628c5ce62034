// What the sentences of a history are made of: who asked, what failed, in which tone it is told.
import type { Cause, EffectFailure } from '../machines/kernel/envelope.ts';
import { failureReason } from './failure-text.ts';
import { printable, quoted } from './text.ts';

/** What happened, and how it went. */
export interface Described {
  readonly text: string;
  readonly tone: 'done' | 'started' | 'failed';
}

export const done = (text: string): Described => ({ text, tone: 'done' });
export const started = (text: string): Described => ({ text, tone: 'started' });
export const failed = (text: string): Described => ({ text, tone: 'failed' });

/** `Prepare (request 7)`, `A timer`: the beginning of a sentence. */
export function asker(cause: Cause, defaultMethod: string): string {
  if (cause.kind === 'recovery') return 'Recovery at start';
  if (cause.kind === 'timer') return 'A timer';
  const method = printable(cause.method ?? defaultMethod);
  const details = [
    cause.requestId === undefined ? '' : `request ${printable(cause.requestId)}`,
    cause.namespace === undefined ? '' : `namespace ${printable(cause.namespace)}`,
  ].filter((part) => part !== '');
  const who = cause.kind === 'operator' ? `An operator's ${method}` : method;
  return details.length === 0 ? who : `${who} (${details.join(', ')})`;
}

/** ` during recovery at start`: the end of a clause; nothing for what a call began. */
export function causeText(cause: Cause): string {
  if (cause.kind === 'recovery') return ' during recovery at start';
  if (cause.kind === 'operator') return ' on the order of an operator';
  return '';
}

/** `mount answered EIO at "/x" (…)`. */
export function failureText(failure: EffectFailure): string {
  const path = failure.path === undefined ? '' : ` at ${quoted(failure.path)}`;
  const { step, code } = failure;
  return `${printable(step)} answered ${printable(code)}${path} (${failureReason(failure)})`;
}
