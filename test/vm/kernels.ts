// Debian's stock kernels as the virtual machine boots them: unpacked packages in the cache, with
// the list of their modules made and the image that QEMU starts without unpacking it first.
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cached } from '../e2e/lab/cache.ts';
import { MissingError, runCommand } from '../e2e/lab/command.ts';
import { unpackFromSuite } from '../e2e/lab/debian-suite.ts';

/** 6.1 has target_core_user and tcm_loop, 6.12 ublk_drv as well. */
export const kernelNames = ['6.1', '6.12'] as const;
export type KernelName = (typeof kernelNames)[number];

const suites: Readonly<Record<KernelName, string>> = { '6.1': 'bookworm', '6.12': 'trixie' };
/** Most of the modules drive hardware that the machine does not have. */
const needless = [
  'sound',
  ...['gpu', 'media', 'net', 'infiniband', 'iio'].map((d) => `drivers/${d}`),
];

export interface Kernel {
  readonly version: string;
  /** The image to start. */
  readonly imagePath: string;
  /** What modprobe -d is given. */
  readonly moduleRoot: string;
}

/** A kernel image as it is packed: a header that says where the compressed one lies. */
export function unpackedImage(packed: Buffer): Buffer {
  if (packed.toString('latin1', 0x202, 0x206) !== 'HdrS') throw new Error('no Linux image');
  const setupSectors = packed.readUInt8(0x1f1) || 4;
  const start = (setupSectors + 1) * 512 + packed.readUInt32LE(0x248);
  // The last four bytes are the size of what is unpacked.
  const payload = packed.subarray(start, start + packed.readUInt32LE(0x24c) - 4);
  const program = payload.readUInt32BE(0) === 0xfd377a58 ? 'xz' : 'zstd';
  const result = spawnSync(program, ['-dc'], { input: payload, maxBuffer: 512 << 20 });
  if (result.status !== 0) {
    throw new Error(`${program} cannot unpack the kernel: ${String(result.stderr)}`);
  }
  return result.stdout;
}

/** Where modules lie below a package: /usr/lib in newer suites. */
function moduleRootBelow(directory: string): { version: string; moduleRoot: string } {
  const [found] = globSync(join(directory, '{,usr/}lib/modules/*'));
  if (found === undefined) throw new Error(`no modules below ${directory}`);
  return { version: basename(found), moduleRoot: join(found, '../../..') };
}

async function fill(directory: string, name: KernelName): Promise<void> {
  await unpackFromSuite(directory, suites[name], async (aptCache) => {
    const depends = await aptCache('depends', 'linux-image-amd64');
    const escaped = name.replace('.', '\\.');
    const [, found] = new RegExp(`Depends: (linux-image-${escaped}\\.\\S+)`).exec(depends) ?? [];
    if (found === undefined) throw new MissingError(`Debian has no kernel ${name} any more`);
    return [found];
  });
  const { version, moduleRoot } = moduleRootBelow(directory);
  for (const folder of needless) {
    const path = join(moduleRoot, 'lib/modules', version, 'kernel', folder);
    rmSync(path, { recursive: true, force: true });
  }
  await runCommand(['/sbin/depmod', '-b', moduleRoot, version]);
  const packed = readFileSync(join(directory, 'boot', `vmlinuz-${version}`));
  writeFileSync(join(directory, 'vmlinux'), unpackedImage(packed));
  rmSync(join(directory, 'boot'), { recursive: true });
}

/** The kernel, downloaded when it is not in the cache yet. */
export async function kernelOf(name: KernelName): Promise<Kernel> {
  const directory = await cached(join('vm', `linux-${name}`), (path) => fill(path, name));
  return { ...moduleRootBelow(directory), imagePath: join(directory, 'vmlinux') };
}
