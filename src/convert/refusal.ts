// The one error of a conversion that its message explains completely.

/** What was given cannot be converted: what happened, to what, why, and what to do. */
export class ConversionRefused extends Error {
  override readonly name = 'ConversionRefused';
}

export function refuse(message: string): never {
  throw new ConversionRefused(message);
}
