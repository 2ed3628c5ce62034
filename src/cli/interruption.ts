// Ctrl-C: what was begun is cleaned up at once, then the process ends quietly.

const cleanups = new Set<() => void>();

/**
 * Runs `cleanup` (synchronous) if the command is interrupted before the returned function is
 * called.
 */
export function onInterrupt(cleanup: () => void): () => void {
  cleanups.add(cleanup);
  return () => cleanups.delete(cleanup);
}

/** Ends the process with `exitCode` after the cleanups. */
export function interrupt(exitCode: number): never {
  for (const cleanup of cleanups) cleanup();
  process.exit(exitCode);
}
