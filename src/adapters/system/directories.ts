// Directories of the service itself. Node's recursive mkdir is not used: where a file system
// refuses directories with ENOENT it never ends, and of one that is read-only it tells the wrong
// reason.
import { mkdir, open, stat } from 'node:fs/promises';
import path from 'node:path';

/** Makes `directory` (0700) and what is missing above it; one that exists is left as it is. */
export async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (await isDirectory(directory)) return;
    const parent = path.dirname(directory);
    const isParentMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (!isParentMissing || (await isDirectory(parent))) throw error;
    await makeDirectory(parent);
    await makeDirectory(directory);
  }
}

/** Makes durable which names a directory holds. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const isDirectory = (directory: string): Promise<boolean> =>
  stat(directory).then(
    (found) => found.isDirectory(),
    () => false,
  );
