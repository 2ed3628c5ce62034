// Runs test files in one virtual machine, as `node --test` outside would; where no machine can run
// they count as skipped, with the reason.
//
//   run-tests.ts KERNEL LIMIT_SECONDS PATTERN...
import { globSync, writeSync } from 'node:fs';
import { countsMark, type NodeCounts } from '../../scripts/test/node-reporter.ts';
import { patienceVariable } from '../e2e/lab/patience.ts';
import { kernelNames } from './kernels.ts';
import { runInMachine } from './machine.ts';
import { machineObstacle } from './obstacle.ts';
import { machineVariable } from './inside.ts';

const [name = '', limitSeconds = '', ...patterns] = process.argv.slice(2);
const files = globSync(patterns).sort();
const kernel = kernelNames.find((known) => known === name);
if (kernel === undefined || files.length === 0)
  throw new Error('run-tests.ts KERNEL LIMIT_SECONDS PATTERN...');
const obstacle = await machineObstacle(kernel);
if (obstacle !== undefined) {
  const skips = files.map((file) => ({ name: file, reason: obstacle }));
  const counts: NodeCounts = { passed: 0, failed: 0, skipped: skips.length, skips };
  process.stdout.write(`${countsMark}${JSON.stringify(counts)}\n`);
  process.exit(0);
}

const passedOn = ['VARVE_LONG', 'VARVE_SEED', 'VARVE_BD_PROGRAM', 'NODE_COMPILE_CACHE'];
const env = Object.fromEntries(passedOn.map((key) => [key, process.env[key] ?? '']));
const { status, isLate, console } = await runInMachine({
  kernel,
  argv: [
    process.execPath,
    '--test',
    '--test-reporter=./scripts/test/node-reporter.ts',
    '--test-concurrency=1',
    '--test-isolation=none',
    ...files,
  ],
  env: {
    ...Object.fromEntries(Object.entries(env).filter(([, value]) => value !== '')),
    // Writes to the kernel's files may wait, each in a thread.
    UV_THREADPOOL_SIZE: '64',
    [machineVariable]: kernel,
    [patienceVariable]: '6',
  },
  limitMs: Number(limitSeconds) * 1000,
  onOutput: (stream, chunk) => void writeSync(stream === 'stdout' ? 1 : 2, chunk),
});
if (status === null) {
  process.stdout.write(`${console.trimEnd().split('\n').slice(-30).join('\n')}\n`);
  process.stdout.write(
    isLate ? `the machine was ended after ${limitSeconds} s\n` : 'the machine ended by itself\n',
  );
}
process.exit(status ?? 1);
