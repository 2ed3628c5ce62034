// Excerpts of text that a client chose, for messages. A character outside the basic plane is two
// units of a string; half of one is no text, and gRPC cannot send it.

/** The last place at or before `index` that does not lie within a character. */
export function characterStart(text: string, index: number): number {
  const isWithin = (text.codePointAt(index - 1) ?? 0) > 0xffff;
  return isWithin ? index - 1 : index;
}

/** `text`, or its beginning with `…` if it is longer than `lengthMax`. */
export function shorten(text: string, lengthMax = 80): string {
  if (text.length <= lengthMax) return text;
  return `${text.slice(0, characterStart(text, lengthMax - 1))}…`;
}
