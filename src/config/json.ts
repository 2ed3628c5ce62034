// JSON as people write it: what is wrong is said with its line and column, and a key that is given
// twice is found, of which JSON.parse silently takes the last.

/** The parsed text, or what is wrong with it, as the end of a sentence. */
export function parseJson(
  text: string,
): { readonly value: unknown } | { readonly problem: string } {
  if (text.startsWith('\uFEFF')) {
    return { problem: 'begins with a byte order mark; save it without one' };
  }
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const { message } = error as Error;
    const [line, column] = lineAndColumn(text, positionOf(text, message));
    const reason = message.replace(/(?: in JSON at position|, "|, \.\.\.)[^]*$/, '');
    return { problem: `is not valid JSON: line ${line}, column ${column}: ${reason}` };
  }
}

// The engine names the position of some errors; others come with a piece of the text only.
function positionOf(text: string, message: string): number {
  const named = /at position (\d+)/.exec(message)?.[1];
  if (named !== undefined) return Number(named);
  if (!isUnexpectedToken(message)) return text.length;
  // The shortest beginning of the text that fails for the same reason ends with the token.
  let goodLength = 0;
  let badLength = text.length;
  while (badLength - goodLength > 1) {
    const middle = Math.floor((goodLength + badLength) / 2);
    if (isUnexpectedToken(messageOf(text.slice(0, middle)))) badLength = middle;
    else goodLength = middle;
  }
  return badLength - 1;
}

const isUnexpectedToken = (message: string): boolean => message.startsWith('Unexpected token');

function messageOf(text: string): string {
  try {
    JSON.parse(text);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

function lineAndColumn(text: string, position: number): readonly [number, number] {
  const lines = text.slice(0, position).split('\n');
  return [lines.length, (lines.at(-1) ?? '').length + 1];
}

/** Keys that an object of a valid text holds twice, each as often as it comes back. */
export function repeatedKeys(text: string): readonly string[] {
  const repeated: string[] = [];
  const open: Set<string>[] = [];
  // Only a key is followed by a colon, so lists and values need no attention.
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token.endsWith(':')) {
      const key = JSON.parse(token.slice(0, -1)) as string;
      const keys = open.at(-1);
      if (keys?.has(key) === true) repeated.push(key);
      keys?.add(key);
    }
  }
  return repeated;
}
