// A broken invariant stops the process: it means the log or the program is wrong, never the caller.

/** Thrown when something that must hold does not; nobody catches it to go on. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

/** What is stored is of a version that only a newer program knows: nothing is wrong with it. */
export class WrittenByNewer extends InvariantViolation {
  constructor(what: string) {
    super(`${what} was written by a newer varve: start that version, or a newer one, on this root`);
  }
}

/** Asserts `condition`; `message` says what had to hold. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}
