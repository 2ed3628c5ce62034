// `varve serve`: signals, the bound on a shutdown, and the exit code. It ends the process itself,
// at once: Node's own exit would wait for whatever a hung disk holds.
import type { Configuration, Origins } from '../config/configuration.ts';
import { compose } from './compose.ts';
import { shutdownMs } from './grpc/limits.ts';
import { NodeServer } from './node-server.ts';
import type { ExitNow, ProcessLogger } from './ports.ts';
import { version } from './version.ts';

/** Exit codes of the service. */
const exitCodes = { stopped: 0, failed: 1 } as const;

/** Serves until a signal ends it, and ends the process. */
export async function serve(configuration: Configuration, origins: Origins): Promise<never> {
  const composed = await compose(configuration, version);
  const { exitNow } = composed;
  if ('refused' in composed) {
    composed.logger.fatal({}, `varve serve cannot start: ${composed.refused}`);
    return exitNow(exitCodes.failed);
  }
  const { ports } = composed;
  const { logger } = ports;
  const end: End = { logger, exitNow };
  dieOnFatal(end);
  const server = new NodeServer({
    configuration: { ...configuration, root: ports.root },
    origins,
    ports,
    onFatal: (error) => die(end, error),
  });
  const ended = endBySignal(server, end);
  try {
    // A start that hangs must not keep a stop from ending the process.
    await Promise.race([server.start(), ended]);
  } catch (error) {
    // Stopped while it started: what the start met then is of no interest.
    if (server.isStopping) return exitNow(await ended);
    const { name, message } = error as Error;
    const details = expectedErrors.includes(name) ? {} : { err: error };
    logger.fatal(details, `varve serve cannot start: ${message}`);
    await server.stop('start failed').catch(() => undefined);
    return exitNow(exitCodes.failed);
  }
  return exitNow(await ended);
}

/** What the end of the process takes. */
interface End {
  readonly logger: ProcessLogger;
  readonly exitNow: ExitNow;
}

/** Refusals that their message explains completely. */
const expectedErrors = ['StartRefused', 'SocketRefused'];

function die({ logger, exitNow }: End, error: Error): never {
  logger.fatal(
    { err: error },
    `varve serve ends: ${error.message}. Nothing that was answered is lost; it recovers when it ` +
      'starts again. If it ends so again, look at the disk, then run varve repair',
  );
  return exitNow(exitCodes.failed);
}

function dieOnFatal(end: End): void {
  process.on('uncaughtException', (error) => die(end, error));
  process.on('unhandledRejection', (reason) =>
    die(end, reason instanceof Error ? reason : new Error(String(reason))),
  );
  // A reader of our output that goes away must not end the service.
  process.on('SIGPIPE', () => undefined);
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
}

function endBySignal(server: NodeServer, { logger, exitNow }: End): Promise<number> {
  return new Promise((resolve) => {
    let isEnding = false;
    const end = (signal: NodeJS.Signals): void => {
      // Supervisors send it twice; the bound below holds whatever they send.
      if (isEnding) return;
      isEnding = true;
      logger.info({ signal }, 'stopping');
      // Whatever hangs (a disk, a helper): every answer given is durable, so leaving is safe. The
      // bound holds until the process is gone.
      setTimeout(() => {
        logger.warn({ shutdownMs }, 'not everything ended in time: leaving all the same');
        exitNow(exitCodes.stopped);
      }, shutdownMs);
      server.stop(signal).then(
        () => resolve(exitCodes.stopped),
        (error: unknown) => die({ logger, exitNow }, error as Error),
      );
    };
    process.on('SIGTERM', end);
    process.on('SIGINT', end);
  });
}
