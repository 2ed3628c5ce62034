// The service's own deadline for a call. When it passes, the caller is told; the effect goes on,
// its outcome is recorded, and a retry joins it.
import { rejected, type Result } from '../machines/kernel/rejection.ts';
import type { Clock } from './ports.ts';

export function withDeadline<Value>(
  work: Promise<Result<Value>>,
  { method, deadlineMs, clock }: { method: string; deadlineMs: number; clock: Clock },
): Promise<Result<Value>> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(deadlineMs, () => {
      resolve(
        rejected(
          'unavailable',
          `${method} has not ended within ${deadlineMs} ms; it goes on, and a retry joins it`,
        ),
      );
    });
    work.then(resolve, reject).finally(cancel);
  });
}
