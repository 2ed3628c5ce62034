// Gets and keeps what the virtual machine needs, so that the time of its tests is their own. What
// cannot be had is said by the tests that are skipped for it.
import { fileURLToPath } from 'node:url';
import { tryCommand } from '../e2e/lab/command.ts';
import { staticBusybox } from '../e2e/lab/debian-packages.ts';
import { kernelNames } from './kernels.ts';
import { machineObstacle } from './obstacle.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const list = 'test/vm/debian-packages.txt';

if (process.getuid?.() === 0) {
  const argv = ['scripts/install-packages.sh', 'debian', list];
  const { status, stdout, stderr } = await tryCommand(argv, { cwd: checkout, limitMs: 600_000 });
  if (status !== 0) process.stdout.write(`${stdout.toString()}${stderr}`);
}
for (const name of kernelNames) {
  if ((await machineObstacle(name)) === undefined) await staticBusybox();
}
