// The file in which a daemon says how opening an image went.
import { open, rm } from 'node:fs/promises';
import type { EffectResult } from '../../engine/ports.ts';
import { done, failed } from '../block-devices/failed.ts';

/** So much of it is told. */
const shownBytes = 1_000;

export interface ResultFile {
  /** What it said of an earlier attempt must not be taken for the word of this one. */
  clear(): Promise<EffectResult<void>>;
  /** What it says, as a part of a sentence; undefined if nothing was written. */
  text(): Promise<string | undefined>;
}

export const resultFile = (path: string): ResultFile => ({
  async clear() {
    try {
      await rm(path, { force: true });
      return done;
    } catch (error) {
      const { code = 'EIO', message } = error as NodeJS.ErrnoException;
      return failed({ step: 'attach', code, message, path });
    }
  },
  async text() {
    try {
      const file = await open(path, 'r');
      try {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(shownBytes), 0, shownBytes, 0);
        const text = buffer.toString('utf8', 0, bytesRead).trim();
        return text === '' ? undefined : `${path} says: ${text}`;
      } finally {
        await file.close();
      }
    } catch {
      return undefined;
    }
  },
});
