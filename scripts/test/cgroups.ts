// Control groups that containers are put into: below the mount of each hierarchy, at its root or in
// the group of whoever started the container.
import { existsSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

function lines(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}

function parents(): string[] {
  const mounts = lines('/proc/self/mountinfo')
    .filter((line) => /^cgroup2? /.test(line.split(' - ')[1] ?? ''))
    .map((line) => line.split(' ')[4] ?? '');
  const own = lines('/proc/self/cgroup').map((line) => line.split(':')[2] ?? '/');
  return [...new Set(mounts.flatMap((mount) => ['/', ...own].map((group) => join(mount, group))))];
}

/** The groups whose name matches. */
export function cgroupsNamed(pattern: RegExp): string[] {
  return parents().flatMap((parent) => {
    if (!existsSync(parent)) return [];
    const names = readdirSync(parent).filter((name) => pattern.test(name));
    return names.map((name) => join(parent, name));
  });
}

/** Removes a group with those below it; one that still holds a process stays. */
export function removeCgroup(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(path, entry.name));
  }
  try {
    rmdirSync(path);
  } catch {
    // Whoever looks for leftovers finds it.
  }
}
