// A daemon of a test's own making on an admin socket: it answers as the test says, also as no
// daemon should.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { UntypedHandleCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import { eventLogDefinition, inspectDefinition } from '../../src/server/grpc/definitions.ts';

export interface FakeHandlers {
  readonly inspect?: Readonly<Record<string, UntypedHandleCall>>;
  readonly eventLog?: Readonly<Record<string, UntypedHandleCall>>;
}

/** Serves on `address` until the answered function is called. */
export async function fakeDaemon(address: string, handlers: FakeHandlers): Promise<() => void> {
  const server = new Server();
  const add = (service: object, given: object = {}): void =>
    server.addService(service as never, given as UntypedServiceImplementation);
  if (handlers.inspect !== undefined) add(inspectDefinition, handlers.inspect);
  if (handlers.eventLog !== undefined) add(eventLogDefinition, handlers.eventLog);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${address}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return () => server.forceShutdown();
}
