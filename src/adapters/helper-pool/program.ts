// Programs of others, run to their end or to a deadline. One that the kernel holds survives even a
// kill; then the answer comes all the same, and the process is left behind.
import { execFile } from 'node:child_process';

const killGraceMs = 1_000;
/** Of each of its outputs; a program that says more is killed. */
const outputBytesMax = 64 << 20;

export interface ProgramEnded {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
  /** Undefined if it did not end by itself. */
  readonly exitStatus: number | undefined;
  /** Why it could not be started, as an errno name; undefined if it was. */
  readonly startCode: string | undefined;
  /** Whether its time was over. */
  readonly isLate: boolean;
  /** What node says of a failure; empty for a success. */
  readonly reason: string;
}

/** Runs a program; resolves at its end, or a moment after the deadline at which it is killed. */
export function runProgram(
  program: string,
  commandLine: readonly string[],
  deadlineMs: number,
): Promise<ProgramEnded> {
  return new Promise((resolve) => {
    let isLate = false;
    let giveUp: NodeJS.Timeout | undefined;
    const child = execFile(
      program,
      commandLine,
      { maxBuffer: outputBytesMax },
      (error, stdout, stderr) => {
        clearTimeout(killer);
        clearTimeout(giveUp);
        const code: unknown = error?.code;
        const isStarted = error?.syscall?.startsWith('spawn') !== true;
        const startCode = !isStarted && typeof code === 'string' ? code : undefined;
        const isDone = error === null && !isLate;
        const exitStatus = error === null ? 0 : typeof code === 'number' ? code : undefined;
        const reason = isLate ? lateness(deadlineMs) : (error?.message ?? '');
        resolve({ ok: isDone, stdout, stderr, exitStatus, startCode, isLate, reason });
      },
    );
    const killer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
      giveUp = setTimeout(() => {
        child.unref();
        const reason = `${lateness(deadlineMs)}, and process ${child.pid} cannot be stopped`;
        const unknown = { stdout: '', stderr: '', exitStatus: undefined, startCode: undefined };
        resolve({ ok: false, ...unknown, isLate, reason });
      }, killGraceMs);
    }, deadlineMs);
  });
}

const lateness = (deadlineMs: number): string => `not done within ${deadlineMs} ms`;
