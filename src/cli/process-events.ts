// What happens to the process while a command runs: Ctrl-C, and a reader of its output that goes
// away. `varve serve` handles both in its own way.
import { exitCodes } from './exit-codes.ts';

const cleanups = new Set<() => void>();

/** Runs `cleanup` (synchronous) if the command ends so before the returned function is called. */
export function onInterrupt(cleanup: () => void): () => void {
  cleanups.add(cleanup);
  return () => cleanups.delete(cleanup);
}

function end(exitCode: number): never {
  for (const cleanup of cleanups) cleanup();
  process.exit(exitCode);
}

const interrupted = (): void => end(exitCodes.interrupted);

function outputFailed(error: NodeJS.ErrnoException): void {
  // A reader that has seen enough (`| head`) is no failure.
  if (error.code === 'EPIPE') end(exitCodes.success);
  throw error;
}

/** Ends the command quietly on Ctrl-C and when its reader is gone. */
export function watchProcess(): void {
  process.on('SIGINT', interrupted);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', outputFailed);
}

/** Leaves both to the service. */
export function leaveProcess(): void {
  process.off('SIGINT', interrupted);
  for (const stream of [process.stdout, process.stderr]) stream.off('error', outputFailed);
}
