// The log lines: pino's JSON on stderr, or a readable form of them when stderr is a terminal.
import type { Writable } from 'node:stream';
import { pino, stdSerializers, type DestinationStream } from 'pino';
import type { Configuration } from '../../config/configuration.ts';
import type { Logger } from '../../engine/ports.ts';

/** A logger that can also say why the process ends. */
export interface PinoLogger extends Logger {
  fatal(fields: object, message: string): void;
  isLevelEnabled(level: string): boolean;
}

const stderrDescriptor = 2;

/** Opens the logger. It writes synchronously: the last line before a crash matters most. */
export async function openLogger(level: Configuration['logLevel'] | 'silent'): Promise<PinoLogger> {
  const destination = process.stderr.isTTY
    ? await prettyStream()
    : pino.destination({ dest: stderrDescriptor, sync: true });
  // A reader of the lines that goes away must not end the service.
  (destination as Partial<Writable>).on?.('error', () => undefined);
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.err },
    },
    destination,
  );
  return logger;
}

/** Loaded only for a terminal: the formatter is a large import. */
async function prettyStream(): Promise<DestinationStream & Writable> {
  const { default: pretty } = await import('pino-pretty');
  const { NO_COLOR, TERM } = process.env;
  return pretty({
    destination: stderrDescriptor,
    sync: true,
    colorize: (NO_COLOR ?? '') === '' && TERM !== 'dumb',
    ignore: 'pid,hostname',
  });
}
