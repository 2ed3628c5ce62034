// `varve serve`: signals, the bound on a shutdown, and the exit code. The caller ends the
// process with the answer.
import type { Configuration, Origins } from '../config/configuration.ts';
import { compose } from './compose.ts';
import { shutdownMs } from './grpc/limits.ts';
import { NodeServer } from './node-server.ts';
import type { ProcessLogger, ServerPorts } from './ports.ts';
import { version } from './version.ts';

/** Exit codes of the service. */
const exitCodes = { stopped: 0, failed: 1 } as const;

/** Serves until a signal ends it; resolves with the exit code. */
export async function serve(configuration: Configuration, origins: Origins): Promise<number> {
  const composed = await compose(configuration, version);
  if ('refused' in composed) {
    composed.logger.fatal({}, `varve serve cannot start: ${composed.refused}`);
    return exitCodes.failed;
  }
  const { ports } = composed;
  const { logger } = ports;
  dieOnFatal(logger);
  const server = new NodeServer({
    configuration: { ...configuration, root: ports.root },
    origins,
    ports,
    onFatal: (error) => die(logger, error),
  });
  const ended = endBySignal(server, ports);
  try {
    await server.start();
  } catch (error) {
    // Stopped while it started: what the start met then is of no interest.
    if (server.isStopping) return ended;
    const { name, message } = error as Error;
    const details = expectedErrors.includes(name) ? {} : { err: error };
    logger.fatal(details, `varve serve cannot start: ${message}`);
    await server.stop('start failed').catch(() => undefined);
    return exitCodes.failed;
  }
  return ended;
}

/** Refusals that their message explains completely. */
const expectedErrors = ['StartRefused', 'SocketRefused'];

function die(logger: ProcessLogger, error: Error): never {
  logger.fatal(
    { err: error },
    `varve serve ends: ${error.message}. Nothing that was answered is lost; it recovers when it ` +
      'starts again. If it ends so again, look at the disk, then run varve repair',
  );
  process.exit(exitCodes.failed);
}

function dieOnFatal(logger: ProcessLogger): void {
  process.on('uncaughtException', (error) => die(logger, error));
  process.on('unhandledRejection', (reason) =>
    die(logger, reason instanceof Error ? reason : new Error(String(reason))),
  );
  // A reader of our output that goes away must not end the service.
  process.on('SIGPIPE', () => undefined);
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
}

function endBySignal(server: NodeServer, { logger }: ServerPorts): Promise<number> {
  return new Promise((resolve) => {
    let isEnding = false;
    const end = (signal: NodeJS.Signals): void => {
      // Supervisors send it twice; the bound below holds whatever they send.
      if (isEnding) return;
      isEnding = true;
      logger.info({ signal }, 'stopping');
      // Whatever hangs (a disk, a helper): every answer given is durable, so leaving is safe.
      const bound = setTimeout(() => {
        logger.warn({ shutdownMs }, 'not everything ended in time: leaving all the same');
        process.exit(exitCodes.stopped);
      }, shutdownMs);
      server.stop(signal).then(
        () => {
          clearTimeout(bound);
          resolve(exitCodes.stopped);
        },
        (error: unknown) => die(logger, error as Error),
      );
    };
    process.on('SIGTERM', end);
    process.on('SIGINT', end);
  });
}
