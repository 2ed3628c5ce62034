// Quoted literals of the filter language: Go's escapes inside ", / or |. Escapes may name single
// bytes, so a literal can spell UTF-8 byte by byte, or bytes that are no UTF-8 at all. Such bytes
// become lone surrogates: no name or label off the wire holds one, so they equal nothing.

/** Where and why a filter is no filter. `position` is an index into the text, from 0. */
export interface SyntaxFailure {
  readonly ok: false;
  readonly position: number;
  readonly reason: string;
}

/** A piece of a filter that was read: its value, and where the text goes on. */
export interface Reading<Value> {
  readonly ok: true;
  readonly value: Value;
  readonly next: number;
}

export const failure = (position: number, reason: string): SyntaxFailure => ({
  ok: false,
  position,
  reason,
});

const simpleEscapes: ReadonlyMap<string, string> = new Map([
  ['a', '\x07'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['v', '\v'],
  ['\\', '\\'],
]);

const hexDigitCounts: ReadonlyMap<string, number> = new Map([
  ['x', 2],
  ['u', 4],
  ['U', 8],
]);

const codePointMax = 0x10ffff;
const replacement = '\ufffd';

/** Whether containerd refuses the character wherever it stands: NUL, or no valid Unicode. */
export const isIllegal = (character: string): boolean =>
  character === '\0' || character === replacement || !character.isWellFormed();

/** Reads the literal whose opening quote stands at `start`. */
export function readQuoted(text: string, start: number): Reading<string> | SyntaxFailure {
  const quote = text.charAt(start);
  let value = '';
  let bytes: number[] = [];
  let position = start + 1;
  for (;;) {
    const codePoint = text.codePointAt(position);
    const character = codePoint === undefined ? '' : String.fromCodePoint(codePoint);
    if (character === '\\') {
      const escape = readEscape(text, position, quote);
      if (!escape.ok) return escape;
      position = escape.next;
      if (typeof escape.value === 'number') {
        bytes.push(escape.value);
        continue;
      }
      value += decodeBytes(bytes) + escape.value;
      bytes = [];
      continue;
    }
    value += decodeBytes(bytes);
    bytes = [];
    if (character === quote) return { ok: true, value, next: position + 1 };
    if (character === '' || character === '\n' || isIllegal(character)) {
      return failure(position, `the literal that ${quote} opens must be closed with ${quote}`);
    }
    value += character;
    position += character.length;
  }
}

/** Reads the escape whose backslash stands at `start`: text, or one byte as a number. */
function readEscape(
  text: string,
  start: number,
  quote: string,
): Reading<string | number> | SyntaxFailure {
  const letter = text.charAt(start + 1);
  const next = start + 2;
  if (letter !== '' && letter === quote) return { ok: true, value: letter, next };
  const simple = simpleEscapes.get(letter);
  if (simple !== undefined) return { ok: true, value: simple, next };
  if (/^[0-7]$/.test(letter)) return readOctal(text, start);
  const digitCount = hexDigitCounts.get(letter);
  if (digitCount === undefined) {
    return failure(start, `\\${letter} is no escape (\\a \\b \\f \\n \\r \\t \\v \\\\ \\${quote})`);
  }
  const digits = text.slice(next, next + digitCount);
  if (digits.length < digitCount || !/^[0-9a-f]+$/i.test(digits)) {
    return failure(start, `\\${letter} must be followed by ${digitCount} hexadecimal digits`);
  }
  const after = next + digitCount;
  const number = Number.parseInt(digits, 16);
  if (letter === 'x') return { ok: true, value: number, next: after };
  // containerd keeps the number in 32 signed bits: a set top bit makes it negative, and then only
  // its last byte counts.
  if (number > 0x7fffffff) return { ok: true, value: number % 0x100, next: after };
  if (number > codePointMax) return failure(start, `\\${letter}${digits} is no Unicode character`);
  const isSurrogate = number >= 0xd800 && number <= 0xdfff;
  return {
    ok: true,
    value: isSurrogate ? replacement : String.fromCodePoint(number),
    next: after,
  };
}

function readOctal(text: string, start: number): Reading<number> | SyntaxFailure {
  const digits = text.slice(start + 1, start + 4);
  if (!/^[0-3][0-7]{2}$/.test(digits)) {
    return failure(start, 'an octal escape must have three digits and be at most \\377');
  }
  return { ok: true, value: Number.parseInt(digits, 8), next: start + 4 };
}

/** Decodes bytes as UTF-8; bytes that are none become lone surrogates. */
function decodeBytes(bytes: readonly number[]): string {
  if (bytes.length === 0) return '';
  try {
    return decodeURIComponent(
      bytes.map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
    );
  } catch {
    // Not UTF-8: no snapshot can have this value, so which surrogates stand for it is no matter.
    return bytes.map((byte) => String.fromCharCode(0xdc00 + byte)).join('');
  }
}
