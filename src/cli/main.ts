// The varve command. Parses the command line, runs one subcommand, and turns whatever went wrong
// into one line on stderr and an exit code.
import { CommanderError } from 'commander';
import { CliFailure, exitCodes } from './exit-codes.ts';
import { watchProcess } from './process-events.ts';
import { usageFailure, varveProgram } from './program.ts';

watchProcess();
try {
  await varveProgram().parseAsync(process.argv);
} catch (error) {
  process.exitCode = report(error);
}

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Help and the like were asked for.
    if (error.exitCode === 0) return exitCodes.success;
    if (error.code === 'commander.help') return exitCodes.usage;
    return report(usageFailure(error));
  }
  if (error instanceof CliFailure) {
    for (const line of error.message.split('\n')) process.stderr.write(`varve: ${line}\n`);
    return error.exitCode;
  }
  const { message, code, stack } = error as NodeJS.ErrnoException;
  if (process.env['VARVE_DEBUG'] === '1') process.stderr.write(`${stack ?? message}\n`);
  const hint = code === undefined ? '; VARVE_DEBUG=1 shows where' : '';
  process.stderr.write(`varve: ${message.replace(/\s*\n\s*/g, ' ')}${hint}\n`);
  return exitCodes.failure;
}
