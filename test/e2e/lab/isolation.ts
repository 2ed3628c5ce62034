// A program with mounts, processes and a network of its own. Clients that change what the whole
// machine shares (networks, /run, /var/lib) run in one, and whatever they leave ends with it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './command.ts';
import { namespaceOfRun } from './containerd.ts';
import type { Scratch } from './scratch.ts';
import { startService, waitUntil } from './service.ts';
import { removeSharedState, watchSharedPlaces } from './shared-places.ts';

const own = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];

const main = join(import.meta.dirname, 'isolated-main.ts');

/** Why there can be none here; undefined if there can. */
export async function isolationObstacle(): Promise<string | undefined> {
  const argv = ['unshare', ...own, 'sh', '-c', 'ip link set lo up'];
  try {
    await runCommand(argv);
    return undefined;
  } catch (error) {
    return `no namespaces of its own: ${String(error)}`;
  }
}

/** Runs one of our programs to its end; it must succeed. What it leaves goes with the scratch. */
export async function runIsolated(
  scratch: Scratch,
  { program, argv, limitMs }: { program: string; argv: readonly string[]; limitMs: number },
): Promise<void> {
  const tidySharedPlaces = watchSharedPlaces();
  const logPath = join(scratch.path, 'log');
  const service = startService({
    name: program,
    argv: ['unshare', ...own, process.execPath, main, program, ...argv],
    logPath,
    env: { TMPDIR: scratch.path },
  });
  scratch.defer(async () => {
    await service.kill();
    removeSharedState([], namespaceOfRun());
    // What is killed takes a moment to be gone.
    await waitUntil('its control groups are gone', async () => tidySharedPlaces());
  });
  await waitUntil(`${program} ends`, async () => !service.isRunning(), limitMs);
  const { code } = await service.stop();
  if (code !== 0)
    throw new Error(`${program} ended with ${code}:\n${readFileSync(logPath, 'utf8')}`);
}
