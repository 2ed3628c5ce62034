// Who serves the devices of the kernel's target. Without anybody a device cannot be enabled, or is
// enabled and never answers.
import { readdir, readFile } from 'node:fs/promises';

/** The program of overlaybd's daemon, as the kernel calls its process. */
const upstreamDaemon = 'overlaybd-tcmu';

/** The process of overlaybd's daemon, in words; undefined if it does not run here. */
export async function upstreamProcess(procPath = '/proc'): Promise<string | undefined> {
  for (const name of await readdir(procPath)) {
    if (!/^[1-9]\d*$/.test(name)) continue;
    // It may end meanwhile.
    const program = await readFile(`${procPath}/${name}/comm`, 'utf8').catch(() => '');
    if (program.trim() === upstreamDaemon) return `process ${name} (${upstreamDaemon})`;
  }
  return undefined;
}
