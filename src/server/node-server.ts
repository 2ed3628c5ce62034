// The life of `varve serve`: sockets, log, engine, SERVING; and back. The sockets come first, so
// that health answers NOT_SERVING during a long boot. A damaged log leaves the server up and
// NOT_SERVING.
import type { Configuration, Origins } from '../config/configuration.ts';
import { waitAtMost } from '../engine/deadline.ts';
import {
  LogDamaged,
  rangeText,
  type Damage,
  type EventStore,
  type SpaceGuard,
} from '../engine/ports.ts';
import { startEngine } from '../engine/start.ts';
import { InvariantViolation, WrittenByNewer } from '../machines/kernel/invariant.ts';
import { controlService } from './grpc/control-service.ts';
import {
  controlDefinition,
  eventLogDefinition,
  inspectDefinition,
  snapshotsDefinition,
} from './grpc/definitions.ts';
import { eventLogService } from './grpc/event-log-service.ts';
import { inspectService } from './grpc/inspect-service.ts';
import { connectionGraceMs, drainMs, engineStopMs } from './grpc/limits.ts';
import { RpcRunner } from './grpc/rpc.ts';
import { SocketServer } from './grpc/server.ts';
import { snapshotsService } from './grpc/snapshots-service.ts';
import { NodeAccess } from './node-access.ts';
import { StartRefused, type ServerPorts } from './ports.ts';

/** How often free space is looked at. */
const spaceRefreshMs = 5_000;

/**
 * A log that found no room is opened again after this long, then after twice as long each time:
 * what the reserve lends to each try may go to whoever fills the disk.
 */
const openAgainMs = { first: 1_000, longest: 60_000 } as const;

/**
 * The first pass over all stored history begins so long after the start: what follows a start needs
 * the machine.
 */
const scrubDelayMs = 5 * 60_000;

/** A pass over all stored history begins this long after the last one ended. */
const scrubPauseMs = 6 * 3600 * 1000;

export interface NodeServerOptions {
  readonly configuration: Configuration;
  readonly origins: Origins;
  readonly ports: ServerPorts;
  /** The process must end with an error: the log or an invariant failed. */
  readonly onFatal: (error: Error) => void;
}

/** One node's server in this process. */
export class NodeServer {
  readonly #options: NodeServerOptions;
  readonly #node = new NodeAccess();
  readonly #runner: RpcRunner;
  readonly #snapshotsServer: SocketServer;
  readonly #adminServer: SocketServer;
  readonly #background = new AbortController();
  #spaceGuard: SpaceGuard | undefined;
  #store: EventStore | undefined;
  #booting: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(options: NodeServerOptions) {
    this.#options = options;
    const { configuration, ports, onFatal } = options;
    const { callDeadlineMs } = configuration;
    const isDebugLogged = ports.logger.isLevelEnabled('debug');
    this.#runner = new RpcRunner({ ...ports, onFatal, callDeadlineMs, isDebugLogged });
    this.#snapshotsServer = new SocketServer([
      {
        name: 'containerd.services.snapshots.v1.Snapshots',
        definition: snapshotsDefinition,
        implementation: snapshotsService(this.#runner, this.#node),
      },
    ]);
    this.#adminServer = this.#makeAdminServer();
  }

  #makeAdminServer(): SocketServer {
    const { ports, configuration, origins } = this.#options;
    const runner = this.#runner;
    const node = this.#node;
    const { clock, version, bootId } = ports;
    const inspect = inspectService(runner, {
      ...{ node, clock, configuration, origins, version, bootId },
      directory: ports.directories.path,
      mountsInUse: ports.mountsInUse,
      backingStoreFigures: ports.backingStoreFigures,
      startedAtUs: clock.nowUs(),
      spaceGuard: () => this.#spaceGuard,
      callsInProgress: () => runner.activeCount,
    });
    return new SocketServer([
      {
        name: 'varve.v1.EventLog',
        definition: eventLogDefinition,
        implementation: eventLogService(runner, node, clock),
      },
      { name: 'varve.v1.Inspect', definition: inspectDefinition, implementation: inspect },
      {
        name: 'varve.v1.Control',
        definition: controlDefinition,
        implementation: controlService(runner, node),
      },
    ]);
  }

  /** Opens the sockets, then the log; resolves when it serves, or is up with a damaged log. */
  async start(): Promise<void> {
    const { configuration, ports } = this.#options;
    // The one that clients and supervisors wait for is the last, once nothing can be refused.
    await this.#adminServer.listen(configuration.adminAddress, ports);
    await this.#snapshotsServer.listen(configuration.address, ports);
    ports.notify('STATUS=starting');
    const reflection = Promise.all([
      this.#snapshotsServer.addReflection(),
      this.#adminServer.addReflection(),
    ]);
    this.#booting = this.#boot();
    await Promise.all([this.#booting, reflection]);
  }

  async #boot(openAgainAfterMs: number = openAgainMs.first): Promise<void> {
    const { ports } = this.#options;
    const opening = await ports.openLog();
    if (opening.status === 'refused') {
      if (opening.awaitsSpace === true) {
        this.#awaitSpace(`${opening.reason}: ${opening.next}`, openAgainAfterMs);
        return;
      }
      throw new StartRefused(`${opening.reason}: ${opening.next}`);
    }
    if (opening.status === 'damaged') {
      this.#becomeDamaged(opening.reason, opening.damage, undefined);
      return;
    }
    const { opened, spaceGuard } = opening;
    this.#store = opened.store;
    this.#spaceGuard = spaceGuard;
    this.#repeat(spaceRefreshMs, () => spaceGuard.refresh());
    if (opened.damage.length > 0) {
      this.#becomeDamaged(rangesOf(opened.damage), opened.damage, opened.store);
      return;
    }
    try {
      await this.#startEngine(opened.store, spaceGuard);
    } catch (error) {
      if (error instanceof WrittenByNewer) {
        await opened.store.close();
        throw new StartRefused(`the event log in ${ports.root} cannot be used: ${error.message}`);
      }
      // A history that does not fold is damage that checksums cannot see. Exiting would only begin
      // a crash loop.
      if (error instanceof LogDamaged) {
        this.#becomeDamaged(rangesOf([error.damage]), [error.damage], opened.store);
      } else if (error instanceof InvariantViolation) {
        this.#becomeDamaged(`it cannot be folded: ${error.message}`, [], opened.store);
      } else throw error;
    }
  }

  async #startEngine(store: EventStore, spaceGuard: SpaceGuard): Promise<void> {
    const { configuration, ports, onFatal } = this.#options;
    const { logger, clock } = ports;
    const startedAtUs = clock.nowUs();
    const engine = await startEngine({
      ...ports,
      store,
      spaceGuard,
      configuration,
      pid: process.pid,
      onFailure: onFatal,
    });
    if (this.#stopping !== undefined) {
      await engine.stop('stopped during start', engineStopMs);
      return;
    }
    this.#node.become({ phase: 'serving', engine });
    this.#setServing(true);
    ports.notify('READY=1\nSTATUS=serving');
    const bootMs = Math.round((clock.nowUs() - startedAtUs) / 1000);
    const { address, adminAddress } = configuration;
    logger.info({ address, adminAddress, root: ports.root, bootMs }, 'serving');
    this.#scrub(store);
  }

  /** Stays up, and opens the log again after a while: a restart would find as little room. */
  #awaitSpace(refusal: string, delayMs: number): void {
    if (this.#stopping !== undefined) return;
    const { ports, onFatal } = this.#options;
    const reason = `${refusal}; varve tries again by itself`;
    this.#node.become({ phase: 'disk-full', reason });
    ports.logger.error({ tryAgainAfterMs: delayMs }, `not serving: ${reason}`);
    ports.notify('READY=1\nSTATUS=not serving: the disk is full, free space');
    const cancel = ports.clock.after(delayMs, () => {
      this.#booting = this.#boot(Math.min(2 * delayMs, openAgainMs.longest));
      this.#booting.catch(onFatal);
    });
    this.#background.signal.addEventListener('abort', cancel);
  }

  #becomeDamaged(what: string, damage: readonly Damage[], store: EventStore | undefined): void {
    const { ports } = this.#options;
    const next = 'stop varve serve and run varve repair';
    const reason = `the event log in ${ports.root} is damaged (${what}): ${next}`;
    this.#node.become({ phase: 'damaged', reason, damage, store });
    ports.logger.error({ damage }, `not serving: ${reason}`);
    // Ready, so that the service manager does not restart what a restart cannot mend.
    ports.notify('READY=1\nSTATUS=not serving: the log is damaged, run varve repair');
  }

  #setServing(isServing: boolean): void {
    this.#snapshotsServer.setServing(isServing);
    this.#adminServer.setServing(isServing);
  }

  #repeat(intervalMs: number, work: () => Promise<void>): void {
    const timer = setInterval(() => {
      work().catch((error: unknown) =>
        this.#options.ports.logger.warn({ err: error }, 'background work failed'),
      );
    }, intervalMs);
    this.#background.signal.addEventListener('abort', () => clearInterval(timer));
  }

  /** Checks all stored history, slowly, again and again; damage found is named in the log. */
  #scrub(store: EventStore): void {
    const { signal } = this.#background;
    const { logger, clock } = this.#options.ports;
    const pass = async (): Promise<void> => {
      try {
        for await (const damage of store.scrub(signal)) {
          logger.error(
            { damage },
            'stored history is damaged: run varve verify, then varve repair',
          );
        }
      } catch (error) {
        if (!signal.aborted) logger.warn({ err: error }, 'the check of stored history broke off');
      }
      if (signal.aborted) return;
      passAfter(scrubPauseMs);
    };
    const passAfter = (delayMs: number): void => {
      const cancel = clock.after(delayMs, () => void pass());
      signal.addEventListener('abort', cancel, { once: true });
    };
    passAfter(scrubDelayMs);
  }

  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** Refuses calls, lets those in progress end, records the end, closes log and sockets. */
  stop(reason: string): Promise<void> {
    this.#stopping ??= this.#stop(reason);
    return this.#stopping;
  }

  async #stop(reason: string): Promise<void> {
    const { ports } = this.#options;
    const { condition } = this.#node;
    ports.notify('STOPPING=1\nSTATUS=stopping');
    this.#setServing(false);
    this.#runner.stopAccepting();
    const engine = condition.phase === 'serving' ? condition.engine : undefined;
    this.#node.become({ phase: 'stopping', engine });
    this.#background.abort();
    // A boot that is not over yet stops its engine itself.
    const ended = Promise.all([this.#booting, this.#runner.whenIdle()]);
    await waitAtMost(drainMs, ended, ports.clock);
    if (engine !== undefined) await engine.stop(reason, engineStopMs);
    else await this.#store?.close();
    await Promise.all([
      this.#snapshotsServer.close(connectionGraceMs),
      this.#adminServer.close(connectionGraceMs),
    ]);
    await ports.close();
  }
}

const rangesOf = (damage: readonly Damage[]): string =>
  damage.map((one) => `${rangeText(one)}: ${one.reason}`).join('; ');
