// The service's own deadline for a call. When it passes, the caller is told, with what to do then;
// the effect goes on, and its outcome is recorded.
import { rejected, type Result } from '../machines/kernel/rejection.ts';
import type { Clock } from './ports.ts';

/** The calls that have a deadline. */
export type CallName =
  | 'Prepare'
  | 'View'
  | 'Mounts'
  | 'Commit'
  | 'Remove'
  | 'Stat'
  | 'Update'
  | 'List'
  | 'Usage'
  | 'Cleanup'
  | 'Attach'
  | 'Detach';

const askMounts =
  'it goes on: ask Mounts of the key, and call again only if the key does not exist';
const readAgain = 'nothing was changed: call again';

/** What a caller does then. */
const nextSteps: Readonly<Record<CallName, string>> = {
  Prepare: askMounts,
  View: askMounts,
  Commit: 'it goes on: the same call joins it; ALREADY_EXISTS then means that it is done',
  Remove: 'it goes on: call again; NOT_FOUND then means that it is done',
  Update: 'it goes on: call again, which changes nothing more',
  Cleanup: 'it goes on: call again to wait for it',
  Attach: 'it goes on: call again to wait for it',
  Detach: 'it goes on: call again to wait for it',
  Mounts: readAgain,
  Stat: readAgain,
  List: readAgain,
  Usage: readAgain,
};

export function withDeadline<Value>(
  work: Promise<Result<Value>>,
  {
    method,
    deadlineMs,
    clock,
  }: { readonly method: CallName; readonly deadlineMs: number; readonly clock: Clock },
): Promise<Result<Value>> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(deadlineMs, () => {
      const message = `${method} has not ended within ${deadlineMs} ms; ${nextSteps[method]}`;
      resolve(rejected('unavailable', message));
    });
    work.then(resolve, reject).finally(cancel);
  });
}

/** Waits for `work`, whatever comes of it, but for `deadlineMs` at most. */
export async function waitAtMost(
  deadlineMs: number,
  work: Promise<unknown>,
  clock: Clock,
): Promise<void> {
  let cancel = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    cancel = clock.after(deadlineMs, resolve);
  });
  await Promise.race([work.catch(() => undefined), passed]);
  cancel();
}
