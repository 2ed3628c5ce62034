// The program that small-disk.ts runs: a container that fills the disk and goes on trying. It says
// `full` when no byte fits any more for the first time.
import { fsyncSync, openSync, writeSync } from 'node:fs';

const retryMs = 20;
const file = openSync(process.argv[2] ?? '', 'a');
const blocks = [1024 * 1024, 4096, 512].map((sizeBytes) => Buffer.alloc(sizeBytes, 1));

/** Writes what fits; answers whether anything did. */
function write(): boolean {
  let hasWritten = false;
  for (const block of blocks) {
    try {
      for (;;) {
        writeSync(file, block);
        hasWritten = true;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
  return hasWritten;
}

// A file system sets more aside for a write than it takes in the end: what is left comes free when
// the file is synced.
while (write()) fsyncSync(file);
process.stdout.write('full\n');
setInterval(write, retryMs);
