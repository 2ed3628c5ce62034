// Gets and keeps the programs that the demo and the tests with real containerds need, so that their
// own time is that of the tests. What cannot be had is said by the tests that are skipped for it.
import { debianContainerd, newContainerd } from './clients.ts';
import { MissingError } from './command.ts';
import { registryProgram, staticBusybox } from './debian-packages.ts';

async function unlessMissing(get: () => Promise<unknown>): Promise<void> {
  try {
    await get();
  } catch (error) {
    if (!(error instanceof MissingError)) throw error;
  }
}

for (const get of [debianContainerd, newContainerd, staticBusybox, registryProgram]) {
  await unlessMissing(get);
}
