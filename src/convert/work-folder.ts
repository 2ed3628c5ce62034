// The folder in which a conversion works: beside its output, so that what is complete only has to
// be renamed, and so that the disk that fills is the one that was chosen for the output.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { printable } from '../history/text.ts';
import { refuse } from './refusal.ts';

// Programs that were just killed may still make a file while the folder is deleted.
const deletion = { recursive: true, force: true, maxRetries: 20, retryDelay: 50 } as const;

export class WorkFolder {
  readonly path: string;

  /** Makes the folder for the output of this path. */
  constructor(outputPath: string) {
    const parent = dirname(outputPath);
    if (!existsSync(parent))
      refuse(`the folder ${printable(parent)} does not exist: make it first`);
    this.path = mkdtempSync(join(parent, '.varve-convert-'));
  }

  /** A new folder in it. */
  async folder(name: string): Promise<string> {
    const path = join(this.path, name);
    await mkdir(path, { recursive: true });
    return path;
  }

  /** Deletes a folder in it that is not needed any more. */
  async removeFolder(path: string): Promise<void> {
    await rm(path, { recursive: true });
  }

  /** Deletes it with all that is in it; synchronous, for when the process is about to end. */
  remove(): void {
    rmSync(this.path, deletion);
  }
}
