// Children that came to this process because their parents died: the first process of a container
// gets them all, and has to take note of their ends, or they stay in the table of processes.
import { readdirSync, readFileSync } from 'node:fs';
import { callNative } from './library.ts';

/** Takes note of the ends of all children but those in `own`, for which others wait. */
export function reapOrphans(own: ReadonlySet<number>): void {
  for (const pid of zombies()) if (!own.has(pid)) callNative('reap', [pid]);
}

function zombies(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => isOurZombie(pid));
}

function isOurZombie(pid: number): boolean {
  try {
    // The name before may hold spaces and parentheses; the last one ends it.
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' && Number(parent) === process.pid;
  } catch {
    // It has gone meanwhile.
    return false;
  }
}
