// Why the virtual machine cannot run here.
import { MissingError } from '../e2e/lab/command.ts';
import { directoryInPath } from '../e2e/lab/debian-packages.ts';
import { kernelOf, type KernelName } from './kernels.ts';

/** What is missing for a machine with that kernel, or undefined; gets the kernel. */
export async function machineObstacle(kernel: KernelName): Promise<string | undefined> {
  if (process.arch !== 'x64') return 'the virtual machine is an x86_64 one';
  if (process.getuid?.() !== 0) return 'the virtual machine shares the root, so run this as root';
  for (const program of ['qemu-system-x86_64', 'depmod', 'xz', 'zstd', 'setpriv']) {
    if (directoryInPath(program) === undefined) return `the virtual machine needs ${program}`;
  }
  try {
    await kernelOf(kernel);
    return undefined;
  } catch (error) {
    if (error instanceof MissingError) return error.message;
    throw error;
  }
}
