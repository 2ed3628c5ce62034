// A scratch directory for one test or demo, and the order in which all that it holds goes away.
// Its path is short, since unix sockets lie in it.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onInterruption } from './interruption.ts';

export interface Scratch {
  readonly path: string;
  /** Adds something to undo at the end; the last added is undone first. */
  readonly defer: (undo: () => Promise<unknown>) => void;
  /**
   * Undoes everything, unmounts what is left below and deletes the directory unless it is one that
   * is kept; an interruption of this process does the same.
   */
  readonly dispose: () => Promise<void>;
}

/** The mountpoints at or below a directory, the newest first. */
export function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((point) =>
      point.replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    )
    .filter((point) => point === directory || point.startsWith(`${directory}/`))
    .reverse();
}

/** Takes down every mount at or below a directory; a busy one lazily. */
export function unmountBelow(directory: string): void {
  for (const point of mountsBelow(directory)) {
    if (spawnSync('umount', [point]).status !== 0) spawnSync('umount', ['-l', point]);
  }
}

/** Makes a scratch directory; nothing in it outlives `dispose`. */
export const makeScratch = (prefix = 'varve-lab-'): Scratch =>
  scratchAt(mkdtempSync(join(tmpdir(), prefix)), (path) =>
    rmSync(path, { recursive: true, force: true }),
  );

/** A directory whose files stay: `dispose` only undoes. */
export function keptScratch(path: string): Scratch {
  mkdirSync(path, { recursive: true });
  return scratchAt(path, () => undefined);
}

function scratchAt(path: string, remove: (path: string) => void): Scratch {
  const undos: (() => Promise<unknown>)[] = [];
  const undoAll = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (let undo = undos.pop(); undo !== undefined; undo = undos.pop()) {
      await undo().catch((failure: unknown) => failures.push(failure));
    }
    unmountBelow(path);
    // Deleting through a mount that could not be taken down would reach into other trees.
    if (mountsBelow(path).length > 0) failures.push(new Error(`still mounted below ${path}`));
    else remove(path);
    forget();
    if (failures.length > 0) throw new AggregateError(failures, 'tidying up failed');
  };
  let disposing: Promise<void> | undefined;
  const dispose = (): Promise<void> => (disposing ??= undoAll());
  const forget = onInterruption(dispose);
  return { path, defer: (undo) => void undos.push(undo), dispose };
}
