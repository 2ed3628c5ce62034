// Programs from Debian's packages, unpacked into the cache and never installed.
import { accessSync, constants, globSync, readdirSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { cached } from './cache.ts';
import { MissingError, runCommand, tryCommand } from './command.ts';

const downloadLimitMs = 240_000;
// apt would rather download as another user, who may not write here.
const asRoot = ['-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=3'];

/** The directory of a command in PATH (and where administrators' commands lie besides). */
export function directoryInPath(command: string): string | undefined {
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
  return path.split(delimiter).find((directory) => {
    if (directory === '') return false;
    try {
      accessSync(join(directory, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function download(name: string, directory: string): Promise<void> {
  const argv = ['apt-get', '-q', ...asRoot, 'download', name];
  const options = { cwd: directory, limitMs: downloadLimitMs };
  if ((await tryCommand(argv, options)).status === 0) return;
  // A machine that never asked for packages has no list of them.
  await runCommand(['apt-get', '-q', ...asRoot, 'update'], { limitMs: downloadLimitMs });
  await runCommand(argv, options);
}

/** The directory below which a package's files lie. */
export function unpackedPackage(name: string): Promise<string> {
  if (directoryInPath('apt-get') === undefined || directoryInPath('dpkg') === undefined) {
    throw new MissingError(`no apt-get here to fetch Debian's package ${name} with`);
  }
  return cached(join('debian', name), async (directory) => {
    await download(name, directory);
    const file = readdirSync(directory).find((entry) => entry.endsWith('.deb'));
    if (file === undefined) throw new Error(`apt-get download ${name} left no package`);
    await runCommand(['dpkg', '-x', join(directory, file), directory]);
    await runCommand(['rm', join(directory, file)]);
  });
}

async function packaged(name: string, path: string): Promise<string> {
  return join(await unpackedPackage(name), path);
}

async function isStatic(program: string): Promise<boolean> {
  // ldd succeeds for what is linked dynamically.
  return (await tryCommand(['ldd', program])).status !== 0;
}

/** A busybox that runs in an empty root: from PATH if it is static, else Debian's. */
export async function staticBusybox(): Promise<string> {
  const directory = directoryInPath('busybox');
  if (directory !== undefined && (await isStatic(join(directory, 'busybox')))) {
    return join(directory, 'busybox');
  }
  return packaged('busybox-static', 'bin/busybox');
}

/**
 * Puts what mounts overlays without the kernel into a directory: Debian's, unpacked, with the
 * library that it needs, so that an installed one does not matter.
 */
export async function provideFuseOverlay(directory: string): Promise<void> {
  const library = await unpackedPackage('libfuse3-3');
  const [found] = globSync('**/libfuse3.so.3', { cwd: library });
  if (found === undefined) throw new Error(`${library} holds no libfuse3.so.3`);
  const programs = {
    'fuse-overlayfs': await packaged('fuse-overlayfs', 'usr/bin/fuse-overlayfs'),
    'mount.fuse3': await packaged('fuse3', 'sbin/mount.fuse3'),
  };
  for (const [name, program] of Object.entries(programs)) {
    const path = `LD_LIBRARY_PATH='${dirname(join(library, found))}'`;
    const script = `#!/bin/sh\n${path} exec '${program}' "$@"\n`;
    writeFileSync(join(directory, name), script, { mode: 0o755 });
  }
}

/** The directory of runc. */
export async function runcDirectory(): Promise<string> {
  return directoryInPath('runc') ?? dirname(await packaged('runc', 'usr/sbin/runc'));
}

/**
 * The directory of containerd, ctr and the shim: from PATH if the version there begins as wanted,
 * else Debian's.
 */
export async function containerdDirectory(versionPrefix = ''): Promise<string> {
  const directory = directoryInPath('containerd');
  if (directory !== undefined && directoryInPath('containerd-shim-runc-v2') === directory) {
    const version = await runCommand([join(directory, 'containerd'), '--version']);
    const found = /\s([0-9][^\s~]*)/.exec(version)?.[1] ?? version;
    if (found.startsWith(versionPrefix)) return directory;
  }
  return packaged('containerd', 'usr/bin');
}

/** The program of Debian's container image registry. */
export async function registryProgram(): Promise<string> {
  const directory = directoryInPath('docker-registry');
  if (directory !== undefined) return join(directory, 'docker-registry');
  return packaged('docker-registry', 'usr/bin/docker-registry');
}
