// What a configuration value may be. A rule answers the value in its final form, or a sentence part
// that says what was got and what is wanted.

/** The outcome of one rule. */
export type Checked = { readonly value: unknown } | { readonly problem: string };

/** A rule for the value of one key. */
export type Rule = (value: unknown) => Checked;

const okay = (value: unknown): Checked => ({ value });
const problem = (text: string): Checked => ({ problem: text });

/** A value as it stood in the file, short enough for one line, with its type. */
export function got(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `a list (${shortJson(value)})`;
  switch (typeof value) {
    case 'string':
      return `the string ${shortJson(value)}`;
    case 'number':
      return `the number ${value}`;
    case 'boolean':
      return String(value);
    default:
      return `an object (${shortJson(value)})`;
  }
}

function shortJson(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}

const wants = (value: unknown, wanted: string): Checked =>
  problem(`is ${got(value)}; it must be ${wanted}`);

export const isTrueOrFalse: Rule = (value) =>
  typeof value === 'boolean' ? okay(value) : wants(value, 'true or false');

export const isString: Rule = (value) =>
  typeof value === 'string' ? okay(value) : wants(value, 'a string');

/** A whole number within a range. */
export const isWholeNumber =
  (min: number, max: number, unit: string): Rule =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
      ? okay(value)
      : wants(value, `a whole number from ${min} to ${max} (${unit})`);

/** One of a few words. */
export const isOneOf =
  (...words: readonly string[]): Rule =>
  (value) =>
    typeof value === 'string' && words.includes(value)
      ? okay(value)
      : wants(value, words.map((word) => JSON.stringify(word)).join(' or '));

/** An absolute path; surrounding blanks are cut off as upstream does. */
export const isPath: Rule = (value) => {
  if (typeof value !== 'string') return wants(value, 'an absolute path');
  const path = value.trim();
  if (!path.startsWith('/') || path.includes('\0')) return wants(value, 'an absolute path');
  return okay(path.length > 1 ? path.replace(/\/+$/, '') || '/' : path);
};

/** Bytes of a unix socket's path that the kernel has room for. */
export const socketPathBytesMax = 107;

/** A socket path; the form `unix:///path` is accepted too. */
export const isSocketPath: Rule = (value) => {
  if (typeof value !== 'string') return wants(value, 'the absolute path of a unix socket');
  const path = value.trim().replace(/^unix:(?:\/\/)?(?=\/)/, '');
  if (!path.startsWith('/') || path.endsWith('/') || path.includes('\0')) {
    return wants(value, 'the absolute path of a unix socket');
  }
  const sizeBytes = Buffer.byteLength(path);
  return sizeBytes <= socketPathBytesMax
    ? okay(path)
    : problem(
        `is ${got(path)}, ${sizeBytes} bytes; a unix socket's path has at most ` +
          `${socketPathBytesMax}: choose a shorter one`,
      );
};

/** A key whose function comes with a later release: only its default is accepted. */
export const isOnlyDefault =
  (type: Rule, defaultValue: unknown, later: string): Rule =>
  (value) => {
    const checked = type(value);
    if ('problem' in checked) return checked;
    return JSON.stringify(checked.value) === JSON.stringify(defaultValue)
      ? checked
      : problem(
          `is ${got(value)}; this version accepts only ${JSON.stringify(defaultValue)}: ` +
            `${later} with a later release`,
        );
  };

/** A list whose members keep a rule. */
export const isListOf =
  (rule: Rule, wanted: string): Rule =>
  (value) =>
    Array.isArray(value) && value.every((member) => 'value' in rule(member))
      ? okay(value)
      : wants(value, wanted);
