// An answer in parts: texts joined and split into contents of a size that suits a message.
import { contentPartBytes } from './limits.ts';

export class ContentParts {
  readonly #write: (content: Uint8Array, isLast: boolean) => Promise<void>;
  #pieces: Buffer[] = [];
  #sizeBytes = 0;

  /** `write` gets each part once it is full, and waits while the consumer is slow. */
  constructor(write: (content: Uint8Array, isLast: boolean) => Promise<void>) {
    this.#write = write;
  }

  /** Takes the next text. */
  async add(text: string): Promise<void> {
    const piece = Buffer.from(text);
    this.#pieces.push(piece);
    this.#sizeBytes += piece.length;
    if (this.#sizeBytes <= contentPartBytes) return;
    let rest = Buffer.concat(this.#pieces);
    for (; rest.length > contentPartBytes; rest = rest.subarray(contentPartBytes)) {
      await this.#write(rest.subarray(0, contentPartBytes), false);
    }
    this.#pieces = [rest];
    this.#sizeBytes = rest.length;
  }

  /** Writes what is left, as the last part. */
  async end(): Promise<void> {
    await this.#write(Buffer.concat(this.#pieces), true);
  }
}
