// Where the command's output goes. Knows whether a person or a program reads it: colour, width and
// shortening are for terminals only. Writes wait while the reader is slow.
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const styleCodes: Readonly<Record<Style, string>> = {
  bold: '1',
  dim: '2',
  red: '31',
  green: '32',
  yellow: '33',
  cyan: '36',
};

/** The narrowest terminal that tables are fitted to. */
const columnsMin = 60;

export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string | Uint8Array): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

export class Output {
  readonly #stream: OutputStream;
  readonly #isColoured: boolean;
  /** Whether output is JSON for programs. */
  readonly isJson: boolean;

  constructor(
    stream: OutputStream,
    options: {
      readonly isJson: boolean;
      readonly environment: Readonly<Record<string, string | undefined>>;
    },
  ) {
    this.#stream = stream;
    this.isJson = options.isJson;
    const { NO_COLOR, TERM } = options.environment;
    this.#isColoured =
      stream.isTTY === true && (NO_COLOR === undefined || NO_COLOR === '') && TERM !== 'dumb';
  }

  /** Columns of the terminal; undefined where nothing must be shortened. */
  get columns(): number | undefined {
    if (this.#stream.isTTY !== true || this.#stream.columns === undefined) return undefined;
    return Math.max(columnsMin, this.#stream.columns);
  }

  /** The text in a style, on a terminal. */
  styled(style: Style, text: string): string {
    return this.#isColoured && text !== '' ? `\u001b[${styleCodes[style]}m${text}\u001b[0m` : text;
  }

  /** Writes bytes or text as they are. */
  async write(content: string | Uint8Array): Promise<void> {
    if (content.length === 0 || this.#stream.write(content)) return;
    await new Promise<void>((resolve) => this.#stream.once('drain', resolve));
  }

  /** Writes one line of text. */
  async line(text = ''): Promise<void> {
    await this.write(`${text}\n`);
  }

  /** Writes lines of text at once. */
  async lines(texts: readonly string[]): Promise<void> {
    if (texts.length > 0) await this.write(`${texts.join('\n')}\n`);
  }

  /** Writes one JSON document: indented for a person who looks, one line otherwise. */
  async json(document: unknown): Promise<void> {
    const isIndented = this.#stream.isTTY === true;
    await this.line(JSON.stringify(document, null, isIndented ? 2 : undefined));
  }
}
