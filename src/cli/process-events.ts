// What happens to the process while a command runs: a signal that ends it, and output that cannot
// be written any more. `varve serve` handles both in its own way.
import { exitCodes } from './exit-codes.ts';

const cleanups = new Set<() => void>();
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs `cleanup` (synchronous) if the command ends so before the returned function is called. */
export function onInterrupt(cleanup: () => void): () => void {
  cleanups.add(cleanup);
  return () => cleanups.delete(cleanup);
}

function end(exitCode: number): never {
  for (const cleanup of cleanups) cleanup();
  process.exit(exitCode);
}

function interrupted(signal: NodeJS.Signals): void {
  if (signal === 'SIGINT') end(exitCodes.interrupted);
  for (const cleanup of cleanups) cleanup();
  // Without a handler it ends the process, and whoever waits sees by what.
  process.off(signal, interrupted);
  process.kill(process.pid, signal);
}

function outputFailed(error: NodeJS.ErrnoException): void {
  // A reader that has seen enough (`| head`) is no failure.
  if (error.code === 'EPIPE') end(exitCodes.success);
  const reason =
    error.code === 'ENOSPC' ? 'the disk is full: make room, or write elsewhere' : error.message;
  process.stderr.off('error', errorsFailed).on('error', () => undefined);
  process.stderr.write(`varve: the output cannot be written: ${reason}\n`);
  end(exitCodes.failure);
}

// Then there is nowhere left to say why.
const errorsFailed = ({ code }: NodeJS.ErrnoException): void =>
  end(code === 'EPIPE' ? exitCodes.success : exitCodes.failure);

/** Ends the command in order on a signal and when its output cannot be written. */
export function watchProcess(): void {
  for (const signal of signals) process.on(signal, interrupted);
  process.stdout.on('error', outputFailed);
  process.stderr.on('error', errorsFailed);
}

/** Leaves both to the service. */
export function leaveProcess(): void {
  for (const signal of signals) process.off(signal, interrupted);
  process.stdout.off('error', outputFailed);
  process.stderr.off('error', errorsFailed);
}
