// A file system of a contestant's own: a new ext4 with mkfs's defaults, journal included, on a loop
// device with direct I/O over one sparse file. What another contestant left behind (a full journal,
// inodes freed a moment ago) then costs nobody else, and every machine measures the same file
// system whatever its own disk has.
import { execFile } from 'node:child_process';
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

const imageBytes = 16 * 2 ** 30;

export interface Disk {
  /** Where it is mounted. */
  readonly path: string;
  /** Unmounts it and deletes its file. */
  remove(): Promise<void>;
}

/** Makes and mounts a disk at `path`, whose file is `path` with `.img`. */
export async function makeDisk(path: string): Promise<Disk> {
  const image = `${path}.img`;
  await mkdir(path, { recursive: true });
  await writeFile(image, '');
  await truncate(image, imageBytes);
  await run('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
  const { stdout } = await run('losetup', ['--find', '--show', '--direct-io=on', image]);
  const device = stdout.trim();
  try {
    await run('mount', [device, path]);
  } finally {
    // The mount holds the device; it goes when the mount goes.
    await run('losetup', ['--detach', device]);
  }
  return {
    path,
    async remove() {
      await run('umount', [path]);
      await rm(image);
    },
  };
}
