// The machine as varve doctor reads it: files, links, what may be opened. Below a directory other
// than / where a test says so.
import { access, constants, readdir, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';

export class Machine {
  readonly #top: string;

  constructor(top = '/') {
    this.#top = top;
  }

  read(file: string): Promise<string> {
    return readFile(this.#at(file), 'utf8');
  }

  /** The same; undefined if there is none. */
  readIfThere(file: string): Promise<string | undefined> {
    return this.read(file).catch(undefinedIfAbsent);
  }

  link(file: string): Promise<string> {
    return readlink(this.#at(file));
  }

  exists(file: string): Promise<boolean> {
    return stat(this.#at(file))
      .then(() => true, undefinedIfAbsent)
      .then(Boolean);
  }

  /** The names in a directory; none if there is none. */
  async list(directory: string): Promise<readonly string[]> {
    return (await readdir(this.#at(directory)).catch(undefinedIfAbsent)) ?? [];
  }

  /** Whether a device node, or a directory, is there and may be read and written. */
  async mayUse(node: string): Promise<'yes' | 'absent' | 'denied'> {
    try {
      await access(this.#at(node), constants.R_OK | constants.W_OK);
      return 'yes';
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return 'absent';
      if (code === 'EACCES' || code === 'EPERM') return 'denied';
      throw error;
    }
  }

  /** Where a program lies on the search path; undefined if it is not installed. */
  async program(name: string, searchPath: string): Promise<string | undefined> {
    for (const folder of searchPath.split(':').filter((one) => one.startsWith('/'))) {
      const file = path.join(folder, name);
      const isThere = await access(this.#at(file), constants.X_OK).then(
        () => true,
        () => false,
      );
      if (isThere) return file;
    }
    return undefined;
  }

  #at(file: string): string {
    return path.join(this.#top, file);
  }
}

function undefinedIfAbsent(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
  throw error;
}
