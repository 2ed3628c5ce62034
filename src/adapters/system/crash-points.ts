// Crash points, for tests only: with neither variable set the port is a function that does nothing.
// VARVE_CRASH_TRACE=<file>: a line `<point>` for each boundary passed.
// VARVE_CRASH_AT=<point>:<n>: the process kills itself, as by kill -9, at the n-th passage.
import { appendFileSync } from 'node:fs';
import type { CrashPoint } from '../../engine/ports.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The crash points that the environment asks for. */
export function crashPoints(environment: Environment): CrashPoint {
  const traceFile = environment['VARVE_CRASH_TRACE'];
  const at = environment['VARVE_CRASH_AT'];
  if (!traceFile && !at) return () => undefined;
  const target = at ? parse(at) : undefined;
  let passageCount = 0;
  return (name) => {
    if (traceFile) appendFileSync(traceFile, `${name}\n`);
    if (name !== target?.name) return;
    passageCount += 1;
    if (passageCount === target.passage) process.kill(process.pid, 'SIGKILL');
  };
}

function parse(at: string): { readonly name: string; readonly passage: number } {
  const match = /^(.+):([1-9][0-9]*)$/.exec(at);
  if (match === null) {
    throw new Error(`VARVE_CRASH_AT must be <point>:<n>, for example append:before:3, not ${at}`);
  }
  return { name: match[1] ?? '', passage: Number(match[2]) };
}
