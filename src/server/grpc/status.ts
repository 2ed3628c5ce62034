// The one place where a rejection or an error becomes a gRPC status. containerd's clients turn the
// codes back into its error classes, so this table is part of the interface.
import type { Metadata } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { LogDamaged, LogFailure, OutOfRange } from '../../engine/ports.ts';
import { InvariantViolation } from '../../machines/kernel/invariant.ts';
import type { Rejection, RejectionCode } from '../../machines/kernel/rejection.ts';

/** gRPC code of each class of refusal. */
export const statusCodes: Readonly<Record<RejectionCode, status>> = {
  invalid_argument: status.INVALID_ARGUMENT,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
  failed_precondition: status.FAILED_PRECONDITION,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  out_of_range: status.OUT_OF_RANGE,
  data_loss: status.DATA_LOSS,
  unavailable: status.UNAVAILABLE,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  unimplemented: status.UNIMPLEMENTED,
  unknown: status.UNKNOWN,
};

/** A call's end other than success. */
export interface StatusReply {
  readonly code: status;
  readonly details: string;
  readonly metadata?: Metadata;
}

/** gRPC carries a status message in a header, whose size receivers limit (8 KiB in grpc-js). */
const detailsBytesMax = 6144;

/** The reply as it can be sent: details of whole characters that fit into a header. */
export function sendable(reply: StatusReply): StatusReply {
  const details = reply.details.toWellFormed();
  let end = 0;
  let sizeBytes = 0;
  for (const character of details) {
    sizeBytes += encodeURI(character).length;
    if (sizeBytes > detailsBytesMax) return { ...reply, details: `${details.slice(0, end)}…` };
    end += character.length;
  }
  return { ...reply, details };
}

/** The status of a refused command. */
export const statusOfRejection = (rejection: Rejection): StatusReply => ({
  code: statusCodes[rejection.code],
  details: rejection.message,
});

/** The status of a thrown error; `isFatal`: the process must not go on. */
export function statusOfError(error: unknown): StatusReply & { readonly isFatal: boolean } {
  const details = error instanceof Error ? error.message : String(error);
  if (error instanceof LogDamaged) return { code: status.DATA_LOSS, details, isFatal: false };
  if (error instanceof OutOfRange) return { code: status.OUT_OF_RANGE, details, isFatal: false };
  const isFatal = error instanceof LogFailure || error instanceof InvariantViolation;
  return { code: status.INTERNAL, details, isFatal };
}

/** The name of a code, for log lines. */
export const statusName = (code: status): string => status[code];
