// Who listens on a socket that somebody else wants.
import { readFileSync } from 'node:fs';
import { listenerOf } from '../../adapters/native/processes.ts';

export interface Listener {
  /** 0 of one that cannot be seen from here; undefined if it cannot be told. */
  readonly pid: number | undefined;
  /** In words. */
  readonly text: string;
}

const commandCharactersMax = 200;

/** The process that listens on a socket; undefined if none does. */
export function findListener(address: string): Listener | undefined {
  const found = listenerOf(address);
  if (!found.ok) {
    // So many wait for it that it cannot be asked.
    return found.code === 'EAGAIN' ? { pid: undefined, text: 'a process' } : undefined;
  }
  const pid = found.value;
  if (pid === 0) return { pid, text: 'a process that cannot be seen from here' };
  const command = commandOf(pid);
  return { pid, text: `process ${pid}${command === '' ? '' : ` (${command})`}` };
}

function commandOf(pid: number): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words.join(' ').trim().slice(0, commandCharactersMax);
  } catch {
    return '';
  }
}
