// An OCI image layout in a tar archive. Only its headers are read to find the files, which are then
// read from where they lie, in any order and without a copy.
import { open, type FileHandle } from 'node:fs/promises';
import { printable } from '../history/text.ts';
import { readRange } from './read-range.ts';
import { refuse } from './refusal.ts';
import type { Storage } from './source.ts';
import { readTarFiles, type TarFile } from './tar-headers.ts';

/** What archives and layers begin with that are compressed. */
const compressions = [
  { name: 'gzip', begin: '1f8b' },
  { name: 'zstd', begin: '28b52ffd' },
  { name: 'xz', begin: 'fd377a58' },
  { name: 'bzip2', begin: '425a68' },
];

/** What is looked for; of what else is in an archive not even the names are kept. */
const layoutFile = /^(?:index\.json|oci-layout|manifest\.json|blobs\/sha256\/[0-9a-f]{64})$/;

/** Finds the files of an archive. */
export async function openArchive(path: string): Promise<Storage> {
  const handle = await open(path);
  const place = printable(path);
  try {
    await refuseCompressed(handle, place);
    const files = new Map<string, TarFile>();
    const repeated = new Set<string>();
    for await (const file of readTarFiles(handle, place)) {
      if (!layoutFile.test(file.path)) continue;
      // Of blobs with one name the digest tells which is right; what counts of others, programs
      // disagree about.
      if (files.has(file.path) && !file.path.startsWith('blobs/')) repeated.add(file.path);
      files.set(file.path, file);
    }
    return {
      find: async (name) => {
        const file = files.get(name);
        if (repeated.has(name)) refuse(`${place} holds more than one ${name}`);
        if (file === undefined) return undefined;
        const { sizeBytes } = file;
        return { sizeBytes, read: () => readRange(handle, { ...file, place }) };
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function refuseCompressed(handle: FileHandle, place: string): Promise<void> {
  const begin = Buffer.alloc(6);
  await handle.read(begin, 0, begin.length, 0);
  const found = compressions.find((one) => begin.toString('hex').startsWith(one.begin));
  if (found === undefined) return;
  refuse(
    `${place} is compressed by ${found.name}: decompress it first, its parts are read at random`,
  );
}
