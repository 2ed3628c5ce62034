// The first file system of the virtual machine, made anew for each run: busybox, the modules, and
// what is to be run. It only has to reach this machine's root.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { runCommand } from '../e2e/lab/command.ts';
import type { Kernel } from './kernels.ts';

/** What it takes to reach the root, and what nothing would load by itself: file systems it does. */
const moduleNames = [
  ...['virtio_pci', '9pnet_virtio', '9p', 'overlay', 'virtio_console', 'virtio_blk', 'virtio_rng'],
  ...['configfs', 'target_core_user', 'tcm_loop', 'sd_mod', 'loop', 'fuse'],
];
/** Of the newer kernel alone. */
const newerModuleNames = ['ublk_drv'];

export interface InitramfsFile {
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer;
}

const directoryMode = 0o040755;
const fileMode = (permissions: number): number => 0o100000 | permissions;

/** An archive of cpio's "newc" format, as the kernel unpacks it. */
export function cpioArchive(files: readonly InitramfsFile[]): Buffer {
  const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
  const hex = (value: number): string => value.toString(16).padStart(8, '0');
  const end = { path: 'TRAILER!!!', mode: 0, content: Buffer.alloc(0) };
  return Buffer.concat(
    [...files, end].flatMap(({ path, mode, content }, at) => {
      const name = Buffer.from(`${path}\0`);
      // inode, mode, owner, group, links, time, size, four device numbers, length of the name, sum
      const fields = [at + 1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
      const header = Buffer.from(`070701${fields.map(hex).join('')}`);
      return [padded(Buffer.concat([header, name])), padded(content)];
    }),
  );
}

const modulesOf = (version: string): readonly string[] =>
  version.startsWith('6.1.') ? moduleNames : [...moduleNames, ...newerModuleNames];

/** The files of the modules with all that they need, in the order in which they can be loaded. */
async function moduleFiles({ moduleRoot, version }: Kernel): Promise<readonly InitramfsFile[]> {
  const options = ['-d', moduleRoot, '-S', version, '--show-depends', '--all'];
  const shown = await runCommand(['/sbin/modprobe', ...options, ...modulesOf(version)]);
  const paths = [...shown.matchAll(/^insmod (\S+)/gm)].map((match) => match[1] ?? '');
  return [...new Set(paths)].map((path) => ({
    path: `modules/${basename(path, '.xz')}`,
    mode: fileMode(0o644),
    content: path.endsWith('.xz')
      ? spawnSync('xz', ['-dc', path], { maxBuffer: 64 << 20 }).stdout
      : readFileSync(path),
  }));
}

/** The folders that these lie in, the outer ones first. */
const foldersOf = (paths: readonly string[]): readonly string[] =>
  [
    ...new Set(
      paths.flatMap((path) => {
        const names = path.split('/').slice(0, -1);
        return names.map((_, at) => names.slice(0, at + 1).join('/'));
      }),
    ),
  ].sort();

/** `texts` are by their paths in /varve, whence guest/init.sh takes them. */
export async function makeInitramfs(
  kernel: Kernel,
  busyboxPath: string,
  texts: ReadonlyMap<string, string>,
): Promise<Buffer> {
  const modules = await moduleFiles(kernel);
  const text = (path: string, content: string): InitramfsFile => ({
    path,
    mode: fileMode(0o644),
    content: Buffer.from(content),
  });
  const folder = (path: string): InitramfsFile => ({
    path,
    mode: directoryMode,
    content: Buffer.alloc(0),
  });
  const files = [...texts].map(([path, content]) => text(`varve/${path}`, content));
  return cpioArchive([
    ...['bin', 'dev', 'proc', 'sys', 'modules', 'host', 'upper', 'root'].map(folder),
    // The target core looks for the last one when it is loaded.
    ...['etc', 'etc/target'].map(folder),
    { path: 'bin/busybox', mode: fileMode(0o755), content: readFileSync(busyboxPath) },
    {
      path: 'init',
      mode: fileMode(0o755),
      content: readFileSync(join(import.meta.dirname, 'guest/init.sh')),
    },
    ...modules,
    text('modules/order', modules.map(({ path }) => `/${path}\n`).join('')),
    ...foldersOf(files.map(({ path }) => path)).map(folder),
    ...files,
  ]);
}
