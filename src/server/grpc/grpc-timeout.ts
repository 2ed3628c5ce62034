// A caller's deadline as it stands in the header `grpc-timeout`: digits and a unit.

const pattern = /^(\d{1,8})([HMSmun])$/;

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Node's timers fire at once when they are given more. */
const timeoutMsMax = 2 ** 31 - 1;

/** Whether the header can be read; an absent one can. */
export const isDeadline = (header: string | string[] | undefined): boolean =>
  header === undefined || (typeof header === 'string' && pattern.test(header));

/** The moment until which the caller waits; Infinity without a header, or so far away. */
export function deadlineOf(header: string | string[] | undefined, nowMs: number): number {
  const [, digits, unit = ''] = pattern.exec(String(header ?? '')) ?? [];
  if (digits === undefined) return Infinity;
  const timeoutMs = Math.floor(Number(digits) * (unitMs[unit] ?? 0));
  return timeoutMs > timeoutMsMax ? Infinity : nowMs + timeoutMs;
}
