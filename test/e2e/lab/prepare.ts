// Gets and keeps the programs that the demo and the tests with real containerds need, so that their
// own time is that of the tests. What cannot be had is said by the tests that are skipped for it.
import {
  buildkit,
  criTools,
  debianContainerd,
  debianDocker,
  kubelet,
  nerdctl,
  newContainerd,
  newDocker,
} from './clients.ts';
import { MissingError } from './command.ts';
import { registryProgram, staticBusybox } from './debian-packages.ts';

async function unlessMissing(get: () => Promise<unknown>): Promise<void> {
  try {
    await get();
  } catch (error) {
    if (!(error instanceof MissingError)) throw error;
  }
}

const programs = [debianContainerd, newContainerd, debianDocker, staticBusybox, registryProgram];
const programsOfLongForms = [newDocker, nerdctl, buildkit, criTools, kubelet];
const isLong = process.env['VARVE_LONG'] === '1';
for (const get of [...programs, ...(isLong ? programsOfLongForms : [])]) await unlessMissing(get);
