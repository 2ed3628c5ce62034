// Runs containerd's snapshotter suite in the virtual machine, on block devices that reach the
// kernel by one transport; the suite is built outside.
//
//   run-conformance.ts KERNEL TRANSPORT LIMIT_SECONDS [CLASS]
//
// CLASS is what run.ts has for --blocks; all classes of block devices by default.
import { mkdtempSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runBinary } from '../e2e/lab/command.ts';
import { patienceVariable } from '../e2e/lab/patience.ts';
import { machineVariable } from './inside.ts';
import { kernelNames } from './kernels.ts';
import { runInMachine } from './machine.ts';
import { machineObstacle } from './obstacle.ts';

const program = join(import.meta.dirname, '../conformance/run.ts');
const buildLimitMs = 600_000;

async function main(): Promise<number> {
  const [name = '', transport = '', limitSeconds = '', blocks = 'devices'] = process.argv.slice(2);
  const kernel = kernelNames.find((known) => known === name);
  if (kernel === undefined)
    throw new Error('run-conformance.ts KERNEL TRANSPORT LIMIT_SECONDS [CLASS]');
  const obstacle = await machineObstacle(kernel);
  if (obstacle !== undefined) {
    process.stdout.write(`conformance: skipped: ${obstacle}\n`);
    return 0;
  }
  const directory = mkdtempSync(join(tmpdir(), 'varve-vm-'));
  try {
    const binary = join(directory, 'conformance.test');
    const built = await runBinary([process.execPath, program, '--build', binary], {
      limitMs: buildLimitMs,
    });
    // Why it cannot be built.
    if (built.length > 0) {
      process.stdout.write(built);
      return 0;
    }
    const { status, console } = await runInMachine({
      kernel,
      argv: [process.execPath, program, '--binary', binary, '--kill', 'none', '--blocks', blocks],
      env: {
        ...{ [patienceVariable]: '6', [machineVariable]: kernel, VARVE_TRANSPORT: transport },
        ...{ UV_THREADPOOL_SIZE: '64', VARVE_LONG: '1' },
      },
      limitMs: Number(limitSeconds) * 1000,
      memoryMegabytes: 4096,
      onOutput: (stream, chunk) => void writeSync(stream === 'stdout' ? 1 : 2, chunk),
    });
    if (status === null) process.stdout.write(`${console.slice(-4000)}\nthe machine ended\n`);
    return status ?? 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

process.exitCode = await main();
