// Error numbers and the result type of everything native. A failed call is a value, never a throw;
// this is the one place that turns a number into a name.
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** A call that the system refused. */
export interface NativeFailure {
  readonly ok: false;
  readonly errno: number;
  /** The symbolic name, such as `EBUSY`. */
  readonly code: string;
  /** What was tried, such as `statx`. */
  readonly step: string;
  /** What the number means, in words. */
  readonly message: string;
}

/** The answer of one native call. */
export type NativeResult<Value> = { readonly ok: true; readonly value: Value } | NativeFailure;

// Node's table has the numbers that libuv knows; these come up with quota, mounts and loop devices.
const otherNames = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name] as const),
);

/** The symbolic name of an error number; an unknown one becomes `E` and the number. */
export const errnoName = (errno: number): string =>
  getSystemErrorMap().get(-errno)?.[0] ?? otherNames.get(errno) ?? `E${errno}`;

/** What an error number means, in words. */
export const errnoMessage = (errno: number): string =>
  getSystemErrorMap().get(-errno)?.[1] ?? `error ${errno}`;

/** A successful result. */
export const succeeded = <Value>(value: Value): NativeResult<Value> => ({ ok: true, value });

/** The failure that a negative return value means. */
export const failedCall = (returned: number, step: string): NativeFailure => ({
  ok: false,
  errno: -returned,
  code: errnoName(-returned),
  step,
  message: errnoMessage(-returned),
});

const noSpaceCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);

/** Whether an error's name says that the disk, or what of it is ours, is full. */
export const isNoSpaceCode = (code: string): boolean => noSpaceCodes.has(code);
