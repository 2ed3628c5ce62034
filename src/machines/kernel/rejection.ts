// The closed set of answers to a refused command. The codes are containerd's error classes;
// src/server/grpc/status.ts is the one place that turns them into gRPC statuses.

export const rejectionCodes = [
  'invalid_argument',
  'not_found',
  'already_exists',
  'failed_precondition',
  'resource_exhausted',
  'out_of_range',
  'data_loss',
  'unavailable',
  'deadline_exceeded',
  'unimplemented',
  'unknown',
] as const;

export type RejectionCode = (typeof rejectionCodes)[number];

/** A refused command. `message` is complete: what, to what, why, and what to do next. */
export interface Rejection {
  readonly code: RejectionCode;
  readonly message: string;
}

/** The answer to a command or query: a value, or a rejection. */
export type Result<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly rejection: Rejection };

export const accepted = <Value>(value: Value): Result<Value> => ({ ok: true, value });

export const rejected = (code: RejectionCode, message: string): Result<never> => ({
  ok: false,
  rejection: { code, message },
});
