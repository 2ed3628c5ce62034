// varve-bd as a service of a test.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findNativeFile } from '../../../src/adapters/native/location.ts';
import { startService, waitUntilReady, type Service } from './service.ts';

export interface BlockDaemon {
  readonly address: string;
  readonly service: Service;
}

export async function startBlockDaemon(directory: string): Promise<BlockDaemon> {
  const address = join(directory, 'bd.sock');
  const service = startService({
    name: 'varve-bd',
    argv: [findNativeFile('varve-bd'), '--socket', address],
    logPath: join(directory, 'bd.log'),
  });
  await waitUntilReady(service, async () => existsSync(address));
  return { address, service };
}
