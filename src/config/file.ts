// Reads a configuration file into values by key. Every problem is collected, none stops the
// reading.
import { readFileSync, statSync } from 'node:fs';
import { parseJson, repeatedKeys } from './json.ts';
import { configurationKeys } from './keys.ts';
import type { ConfigurationKey } from './keys.ts';
import { nearestName } from './nearest.ts';
import { got } from './values.ts';

/** A larger file is refused: a configuration has a few hundred bytes. */
export const fileBytesMax = 1024 * 1024;

/** A value that the file gives, already checked. */
export interface FileValue {
  readonly key: ConfigurationKey;
  readonly value: unknown;
}

export interface FileContent {
  readonly values: readonly FileValue[];
  readonly problems: readonly string[];
}

/** Reads and checks a file; `path` begins every problem. */
export function readConfigurationFile(path: string): FileContent {
  const parsed = readJson(path);
  if ('problem' in parsed) return { values: [], problems: [`${path}: ${parsed.problem}`] };
  const { values, problems } = checkDocument(parsed.value);
  const repeated = parsed.repeated.map(
    (key) => `${JSON.stringify(key)} is given twice: keep one of them`,
  );
  return { values, problems: [...repeated, ...problems].map((problem) => `${path}: ${problem}`) };
}

type Read =
  { readonly value: unknown; readonly repeated: readonly string[] } | { readonly problem: string };

function readJson(path: string): Read {
  let text: string;
  try {
    const { size } = statSync(path);
    if (size > fileBytesMax)
      return { problem: `has ${size} bytes; at most ${fileBytesMax} are read` };
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return { problem: `cannot be read: ${readFailure(error)}` };
  }
  const parsed = parseJson(text);
  return 'problem' in parsed ? parsed : { value: parsed.value, repeated: repeatedKeys(text) };
}

function readFailure(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'there is no such file; varve config default prints one to begin with';
    case 'EACCES':
      return 'permission denied; run as a user who may read it';
    case 'EISDIR':
      return 'it is a directory; name a file';
    default:
      return (error as Error).message;
  }
}

/** Checks a parsed document against the table of keys. */
export function checkDocument(document: unknown): FileContent {
  const checker = new DocumentChecker();
  checker.object(document, '');
  return checker;
}

// Go's JSON decoder matches names without regard to case, and so do files written for upstream.
const keysByName = new Map(configurationKeys.map((key) => [key.name.toLowerCase(), key]));
const groupNames = new Map(
  configurationKeys
    .filter((key) => key.name.includes('.'))
    .map((key) => key.name.split('.')[0] as string)
    .map((name) => [name.toLowerCase(), name]),
);

class DocumentChecker implements FileContent {
  readonly values: FileValue[] = [];
  readonly problems: string[] = [];
  readonly #seen = new Map<string, string>();

  object(value: unknown, prefix: string): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      const what = prefix === '' ? 'the file' : `"${prefix.slice(0, -1)}"`;
      this.problems.push(`${what} is ${got(value)}; it must be an object`);
      return;
    }
    for (const [name, member] of Object.entries(value)) {
      // A dot is ours, for messages: no key of a file holds one.
      if (name.includes('.')) this.problems.push(unknownKey(prefix + name));
      else this.#member(prefix + name, member);
    }
  }

  #member(name: string, value: unknown): void {
    const lower = name.toLowerCase();
    const earlier = this.#seen.get(lower);
    if (earlier !== undefined) {
      this.problems.push(`"${earlier}" and "${name}" are the same key: keep one of them`);
      return;
    }
    this.#seen.set(lower, name);
    const group = groupNames.get(lower);
    // Go leaves the default where null is given.
    if (group !== undefined) {
      if (value !== null) this.object(value, `${group}.`);
      return;
    }
    const key = keysByName.get(lower);
    if (key === undefined) {
      this.problems.push(unknownKey(name));
      return;
    }
    if (value === null) return;
    const checked = key.rule(value);
    if ('problem' in checked) this.problems.push(`"${key.name}" ${checked.problem}`);
    else this.values.push({ key, value: checked.value });
  }
}

function unknownKey(name: string): string {
  const names = [...configurationKeys.map((key) => key.name), ...groupNames.values()];
  const nearest = nearestName(name, names);
  const shown = JSON.stringify(name);
  const [group, member] = name.split('.');
  if (nearest?.toLowerCase() === name.toLowerCase()) {
    return `${shown} is not a key; write {"${group ?? ''}": {"${member ?? ''}": …}}`;
  }
  return nearest === undefined
    ? `${shown} is not a key; varve config default prints all of them`
    : `${shown} is not a key; did you mean "${nearest}"?`;
}
