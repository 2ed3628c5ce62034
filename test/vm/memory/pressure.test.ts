// A machine with little memory, in which more is written through a device than there is room for.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { patienceVariable } from '../../e2e/lab/patience.ts';
import { machineVariable } from '../inside.ts';
import { runInMachine } from '../machine.ts';
import { doneLine } from './plan.ts';
import { machineObstacle } from '../obstacle.ts';
import { firstKernels } from '../transports.ts';

const program = join(import.meta.dirname, 'pressure.ts');
const memoryMegabytes = 768;
const limitMs = 900_000;

for (const [kernel, transport] of firstKernels) {
  const skip = (await machineObstacle(kernel)) ?? false;
  const name = `writing under memory pressure ends, ${kernel}, ${transport}`;
  test(name, { skip }, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'varve-vm-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const { status, stdout, stderr, console } = await runInMachine({
      ...{ kernel, memoryMegabytes, limitMs },
      argv: [process.execPath, program, transport],
      env: { [patienceVariable]: '6', [machineVariable]: kernel },
      disk: { path: join(directory, 'disk'), sizeBytes: 4 * 2 ** 30 },
    });
    const said = `${stdout}${stderr}${console.slice(-4000)}`;
    assert.equal(status, 0, said);
    assert.equal(stdout, `${doneLine}\n`, said);
  });
}
