// Error numbers and the result type of everything native. A failed call is a value, never a throw;
// this is the one place that turns a number into a name.
import { constants } from 'node:os';

/** A call that the system refused. */
export interface NativeFailure {
  readonly ok: false;
  readonly errno: number;
  /** The symbolic name, such as `EBUSY`. */
  readonly code: string;
  /** What was tried, such as `statx`. */
  readonly step: string;
}

/** The answer of one native call. */
export type NativeResult<Value> = { readonly ok: true; readonly value: Value } | NativeFailure;

const nameByNumber = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  // EAGAIN and EWOULDBLOCK, ENOTSUP and EOPNOTSUPP share numbers: the first of each is the usual one.
  if (!nameByNumber.has(number)) nameByNumber.set(number, name);
}

/** The symbolic name of an error number; an unknown one becomes `E` and the number. */
export const errnoName = (errno: number): string => nameByNumber.get(errno) ?? `E${errno}`;

/** A successful result. */
export const succeeded = <Value>(value: Value): NativeResult<Value> => ({ ok: true, value });

/** The failure that a negative return value means. */
export const failedCall = (returned: number, step: string): NativeFailure => ({
  ok: false,
  errno: -returned,
  code: errnoName(-returned),
  step,
});
