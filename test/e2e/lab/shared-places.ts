// The few places that containerds and Docker Engines share whatever their configuration says:
// directories of sockets and of containers' state, and the control groups of a namespace. What one
// of ours makes there goes with it; what was there before, or is not empty, stays.
import { existsSync, readFileSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { cgroupsNamed, removeCgroup } from '../../../scripts/test/cgroups.ts';

/** The innermost last. */
const directories = [
  ...['', 's', 'fifo', 'runc', 'runc/k8s.io'].map((name) => join('/run/containerd', name)),
  ...['docker', 'docker/plugins', 'runc'].map((name) => join('/run', name)),
];

/** Of CRI: its containers are in these groups unless their pod says otherwise. */
const criCgroups = (): string[] => cgroupsNamed(/^k8s\.io$/);

/**
 * Notes what is not there yet; the result removes that of it which is empty, and says whether all
 * control groups could be: one that still holds a process stays.
 */
export function watchSharedPlaces(): () => boolean {
  const absent = directories.filter((directory) => !existsSync(directory));
  const cgroups = new Set(criCgroups());
  return () => {
    for (const directory of absent.toReversed()) removeIfEmpty(directory);
    const added = (): string[] => criCgroups().filter((path) => !cgroups.has(path));
    for (const path of added()) removeCgroup(path);
    return added().length === 0;
  };
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Another containerd uses it by now, or nobody made it.
  }
}

/** The sockets of the shims of a containerd, from what it keeps of each task. */
export function shimSockets(stateDirectory: string): string[] {
  const tasks = join(stateDirectory, 'io.containerd.runtime.v2.task');
  if (!existsSync(tasks)) return [];
  const files = readdirSync(tasks, { recursive: true, encoding: 'utf8' });
  return files
    .filter((name) => /\/(address|bootstrap\.json)$/.test(name))
    .flatMap(
      (name) => /unix:\/\/([^"\s]+)/.exec(readFileSync(join(tasks, name), 'utf8'))?.[1] ?? [],
    );
}

/** Removes sockets whose shims are dead, and what is left of a namespace. */
export function removeSharedState(sockets: readonly string[], namespace: string): void {
  for (const socket of sockets) rmSync(socket, { force: true });
  // Clients that cannot be told another place keep the state of containers there.
  removeIfEmpty(join('/run/containerd/runc', namespace));
  for (const path of cgroupsNamed(new RegExp(`^${namespace}$`))) removeCgroup(path);
}
