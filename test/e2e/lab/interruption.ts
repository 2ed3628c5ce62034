// What is to be undone when this process is told to end: everything, the newest first, before it
// does. Services are in sessions of their own, so that a signal to the whole group reaches only who
// can take them down in order.
const undos = new Set<() => Promise<unknown>>();
let isGuarded = false;
let isEnding = false;

/** Whether this process has been told to end: what is begun now would not be undone. */
export const isInterrupted = (): boolean => isEnding;

async function undoAll(): Promise<void> {
  for (const undo of [...undos].reverse()) await undo().catch(() => undefined);
}

/** Makes signals end this process by `exit`, after what `onInterruption` was given. */
export function guardSignals(): void {
  if (isGuarded) return;
  isGuarded = true;
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (isEnding) return;
      isEnding = true;
      // Whoever listened has got the same signal, and may be gone.
      for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
      void undoAll().finally(() => process.exit(1));
    });
  }
}

/** Has something undone if this process is told to end; gives what takes that back. */
export function onInterruption(undo: () => Promise<unknown>): () => void {
  guardSignals();
  undos.add(undo);
  return () => void undos.delete(undo);
}
