// How positions, times and names are written in documents and sentences. Names come from clients
// and from files: what a terminal would obey is shown as an escape, never passed on.

/** UTC time with microseconds, for example `2026-01-31T09:15:00.000250Z`. */
export function isoTime(timeUs: number): string {
  const wholeMs = Math.floor(timeUs / 1000);
  const restUs = timeUs - wholeMs * 1000;
  const base = new Date(wholeMs).toISOString();
  return `${base.slice(0, -1)}${String(restUs).padStart(3, '0')}Z`;
}

/** A size for people: `0 B`, `4.0 KiB`, `1.5 GiB`. */
export function humanSize(sizeBytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
}

/** `1 event`, `2 events`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

// C0 and C1 controls, line separators, and the marks that reorder text.
const unprintable =
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** The text with every control character written as `\xNN` or `\u{NNNN}`. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** A name in quotes, safe to print. */
export const quoted = (text: string): string => `"${printable(text)}"`;
