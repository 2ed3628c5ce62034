// Where the converted image goes: an archive, or a folder in the OCI image layout. Either appears
// under its name when it is complete and on the disk, and replaces nothing.
import { existsSync, lstatSync } from 'node:fs';
import { link, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { printable } from '../history/text.ts';
import { writeArchive } from './archive-writer.ts';
import { syncPath, type BlobStore } from './blob-store.ts';
import type { StepListener } from './progress.ts';
import { refuse } from './refusal.ts';

export interface Output {
  readonly form: 'archive' | 'folder';
  readonly path: string;
}

/** The form that a name asks for: `.tar` an archive, anything else a folder. */
export function outputOf(name: string): Output {
  const path = resolve(name);
  if (/\.(tgz|tar\.\w+|tzst)$/.test(path)) {
    refuse(`${printable(name)}: archives are not compressed: choose a name that ends with .tar`);
  }
  const isArchive = path.endsWith('.tar') && !name.endsWith('/');
  return { form: isArchive ? 'archive' : 'folder', path };
}

/** Refuses an output that is there already. */
export function refuseExisting({ path }: Output): void {
  const isThere = existsSync(path) || lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  if (isThere) refuse(`${printable(path)} exists: remove it, or choose another name`);
}

/** The files of a layout besides its blobs. */
export type TopFiles = Readonly<Record<string, Buffer>>;

/** A layout whose blobs are in `store`, in a folder. */
export interface Layout {
  readonly store: BlobStore;
  readonly files: TopFiles;
  readonly layoutFolder: string;
  /** Told how much of an archive is written. */
  readonly progress: StepListener;
}

/** Puts the layout under its name. */
export async function putOutput(output: Output, layout: Layout): Promise<void> {
  await (output.form === 'folder' ? putFolder(output, layout) : putArchive(output, layout));
  await syncPath(dirname(output.path));
}

async function putFolder(output: Output, { store, files, layoutFolder }: Layout): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(layoutFolder, name), content, { flush: true });
  }
  await store.sync();
  await syncPath(layoutFolder);
  // A folder that is not empty would not be replaced, but an empty one would.
  await mkdir(output.path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') refuseExisting(output);
    throw error;
  });
  await rename(layoutFolder, output.path);
}

async function putArchive(output: Output, layout: Layout): Promise<void> {
  const path = join(layout.layoutFolder, '..', 'archive.tar');
  const handle = await open(path, 'wx');
  try {
    await writeArchive(handle, layout);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await link(path, output.path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') refuseExisting(output);
    throw error;
  });
  await rm(path);
}
