// Reads TOML as far as the configuration of containerd needs it: tables, dotted and quoted keys,
// strings, arrays, inline tables. Numbers, dates and booleans are kept as they are written.

export type TomlValue = string | readonly TomlValue[] | TomlTable;
export interface TomlTable {
  [key: string]: TomlValue;
}

export class TomlError extends Error {
  override readonly name = 'TomlError';
}

/** Nested deeper, it is no configuration, and the stack would end. */
const depthMax = 64;

/** The document as nested tables; throws TomlError with the line. */
export function parseToml(text: string): TomlTable {
  return new Reader(text).document();
}

const newTable = (): TomlTable => Object.create(null) as TomlTable;

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text.replaceAll('\r\n', '\n');
  }

  document(): TomlTable {
    const top = newTable();
    let table = top;
    for (;;) {
      this.#skip();
      if (this.#at === this.#text.length) return top;
      if (this.#take('[[')) {
        table = this.#tableIn(top, this.#key(), 'new');
        this.#expect(']]');
      } else if (this.#take('[')) {
        table = this.#tableIn(top, this.#key());
        this.#expect(']');
      } else {
        this.#assignment(table, 0);
      }
      this.#endOfLine();
    }
  }

  #assignment(table: TomlTable, depth: number): void {
    const keys = this.#key();
    this.#expect('=');
    this.#blanks();
    const last = keys.at(-1) ?? '';
    this.#tableIn(table, keys.slice(0, -1))[last] = this.#value(depth);
  }

  /** The table at a path below another; of a list of tables its last one, or a new one. */
  #tableIn(top: TomlTable, path: readonly string[], what?: 'new'): TomlTable {
    let table = top;
    for (const [index, key] of path.entries()) {
      const isLast = index === path.length - 1;
      const known = table[key];
      if (what === 'new' && isLast) {
        const added = newTable();
        table[key] = [...(Array.isArray(known) ? (known as TomlValue[]) : []), added];
        return added;
      }
      const inner = Array.isArray(known) ? (known as TomlValue[]).at(-1) : (known as TomlValue);
      if (inner === undefined) {
        const made = newTable();
        table[key] = made;
        table = made;
      } else if (typeof inner === 'object' && !Array.isArray(inner)) {
        table = inner as TomlTable;
      } else throw this.#error(`${key} is no table`);
    }
    return table;
  }

  #key(): string[] {
    const keys: string[] = [];
    do {
      this.#blanks();
      const bare = this.#match(/[A-Za-z0-9_-]+/y);
      if (bare !== undefined) keys.push(bare);
      else if (this.#take('"')) keys.push(this.#basicString());
      else if (this.#take("'")) keys.push(this.#until("'"));
      else throw this.#error('a key is expected');
      this.#blanks();
    } while (this.#take('.'));
    return keys;
  }

  #value(depth: number): TomlValue {
    if (depth > depthMax) throw this.#error('it is nested too deeply');
    if (this.#take('"""')) return this.#longString();
    if (this.#take("'''")) return this.#until("'''").replace(/^\n/, '');
    if (this.#take('"')) return this.#basicString();
    if (this.#take("'")) return this.#until("'");
    if (this.#take('[')) return this.#array(depth + 1);
    if (this.#take('{')) return this.#inlineTable(depth + 1);
    const scalar = this.#match(/[^\s,\]}#]+/y);
    if (scalar === undefined) throw this.#error('a value is expected');
    return scalar;
  }

  #array(depth: number): TomlValue[] {
    const values: TomlValue[] = [];
    for (;;) {
      this.#skip();
      if (this.#take(']')) return values;
      values.push(this.#value(depth));
      this.#skip();
      if (this.#take(',')) continue;
      this.#expect(']');
      return values;
    }
  }

  #inlineTable(depth: number): TomlTable {
    const table = newTable();
    for (;;) {
      this.#skip();
      if (this.#take('}')) return table;
      this.#assignment(table, depth);
      this.#skip();
      if (this.#take(',')) continue;
      this.#expect('}');
      return table;
    }
  }

  #basicString(): string {
    const raw = this.#match(/(?:[^"\\\n]|\\.)*/y) ?? '';
    this.#expect('"');
    return unescaped(raw);
  }

  #longString(): string {
    const raw = this.#match(/(?:[^"\\]|\\[^]|"(?!""))*/y) ?? '';
    this.#expect('"""');
    return unescaped(raw.replace(/^\n/, '').replace(/\\\n\s*/g, ''));
  }

  #until(end: string): string {
    const stop = this.#text.indexOf(end, this.#at);
    if (stop === -1) throw this.#error(`a string has no end (${end})`);
    const found = this.#text.slice(this.#at, stop);
    this.#at = stop + end.length;
    return found;
  }

  #endOfLine(): void {
    this.#match(/[ \t]*(?:#[^\n]*)?/y);
    if (this.#at < this.#text.length && !this.#take('\n')) {
      throw this.#error('the end of the line is expected');
    }
  }

  /** Blanks, ends of lines and comments. */
  #skip(): void {
    this.#match(/(?:[ \t\n]+|#[^\n]*)*/y);
  }

  #blanks(): void {
    this.#match(/[ \t]*/y);
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #expect(text: string): void {
    this.#blanks();
    if (!this.#take(text)) throw this.#error(`${text} is expected`);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found === undefined) return undefined;
    this.#at += found.length;
    return found;
  }

  #error(what: string): TomlError {
    const line = this.#text.slice(0, this.#at).split('\n').length;
    return new TomlError(`line ${line}: ${what}`);
  }
}

const shortEscapes: Readonly<Record<string, string>> = {
  b: '\b',
  t: '\t',
  n: '\n',
  f: '\f',
  r: '\r',
};

const unescaped = (raw: string): string =>
  raw.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([^]))/g, (_, short, long, one) => {
    const hex = (short ?? long) as string | undefined;
    if (hex === undefined) return shortEscapes[one as string] ?? (one as string);
    const code = parseInt(hex, 16);
    return code > 0x10_ff_ff ? '\ufffd' : String.fromCodePoint(code);
  });
