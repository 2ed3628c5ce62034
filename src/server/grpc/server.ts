// One gRPC server on one unix socket, with health and reflection beside its services.
import {
  Server,
  ServerCredentials,
  status,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { ServerPorts } from '../ports.ts';
import { prepareSocketPath, refuseIfAnswered, SocketRefused } from '../socket-path.ts';
import { healthWatchesMax, requestBytesMax, responseBytesMax } from './limits.ts';
import { serveUnaryStreams } from './unary-streams.ts';

export interface ServedService {
  /** Full name, for health. */
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** Only the owner may connect. */
const socketUmask = 0o177;

/** A server on a unix socket that only its owner may use. */
export class SocketServer {
  readonly #server: Server;
  readonly #health: HealthImplementation;
  readonly #names: readonly string[];

  constructor(services: readonly ServedService[]) {
    this.#server = new Server({
      'grpc.max_receive_message_length': requestBytesMax,
      'grpc.max_send_message_length': responseBytesMax,
      // Statistics of each call that nothing reads.
      'grpc.enable_channelz': 0,
    });
    // '' stands for the server as a whole.
    this.#names = ['', ...services.map(({ name }) => name)];
    this.#health = new HealthImplementation();
    this.setServing(false);
    this.#health.addToServer(withBoundedWatches(this.#server));
    for (const { definition, implementation } of services) {
      this.#server.addService(definition, implementation);
    }
    serveUnaryStreams(this.#server, services);
  }

  /** What health answers, for every service of this socket. */
  setServing(isServing: boolean): void {
    for (const name of this.#names) {
      this.#health.setStatus(name, isServing ? 'SERVING' : 'NOT_SERVING');
    }
  }

  /** Adds reflection; it may come later than the first call, since it is slow to load. */
  async addReflection(): Promise<void> {
    const [{ ReflectionService }, { fileDescriptors }] = await Promise.all([
      import('@grpc/reflection'),
      import('../../../build/proto/descriptors.js'),
    ]);
    const fileDescriptorProtos = fileDescriptors.map((text) => Buffer.from(text, 'base64'));
    const definition = { all: { format: '', type: {}, fileDescriptorProtos } };
    const services = this.#names.filter((name) => name !== '');
    new ReflectionService(definition as never, { services }).addToServer(this.#server);
  }

  /** Binds the socket: 0600 from the moment it exists. Nothing else may make files meanwhile. */
  async listen(socketPath: string, ports: Pick<ServerPorts, 'makeDirectory'>): Promise<void> {
    await prepareSocketPath(socketPath, ports);
    const umask = process.umask(socketUmask);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
          error === null ? resolve() : reject(error),
        );
      });
    } catch (error) {
      // Another server may have bound it since it was looked at.
      await refuseIfAnswered(socketPath);
      throw new SocketRefused(
        `the socket ${socketPath} cannot be opened: ${(error as Error).message}`,
      );
    } finally {
      process.umask(umask);
    }
  }

  /**
   * Closes the socket, whose file goes with it, then the connections: those with a call that does
   * not end by itself (a Watch of health) after `graceMs`.
   */
  async close(graceMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const ended = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs);
    });
    await Promise.race([ended, timeout]);
    clearTimeout(timer);
    this.#server.forceShutdown();
  }
}

type WatchCall = ServerWritableStream<unknown, unknown>;

/** The server as the health service sees it, which itself takes any number of Watches. */
function withBoundedWatches(server: Server): Server {
  let watchCount = 0;
  const addService = (
    definition: ServiceDefinition,
    { watch, ...others }: UntypedServiceImplementation,
  ): void =>
    server.addService(definition, {
      ...others,
      watch: (call: WatchCall) => {
        if (watchCount >= healthWatchesMax) {
          const details = `${healthWatchesMax} Watches of health are open already`;
          call.emit('error', { code: status.RESOURCE_EXHAUSTED, details });
          return;
        }
        watchCount += 1;
        call.on('cancelled', () => (watchCount -= 1));
        (watch as (call: WatchCall) => void)(call);
      },
    });
  return { addService } as unknown as Server;
}
