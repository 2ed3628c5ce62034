// Runs a command in the virtual machine: its output comes as it is written, its exit status is this
// one's; 125 if the machine failed, 124 if it took too long.
//
//   run.ts [--kernel 6.1|6.12] [--limit SECONDS] [--memory MB] [--disk FILE] [--env NAME=VALUE]...
//          [--console] -- COMMAND [ARGUMENT...]
import { writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { kernelNames } from './kernels.ts';
import { runInMachine } from './machine.ts';
import { machineObstacle } from './obstacle.ts';

const failed = 125;
const late = 124;
const diskBytes = 4 * 2 ** 30;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: 'string', default: '6.1' },
    limit: { type: 'string', default: '600' },
    memory: { type: 'string', default: '2048' },
    disk: { type: 'string' },
    env: { type: 'string', multiple: true, default: [] },
    console: { type: 'boolean', default: false },
  },
});
const kernel = kernelNames.find((name) => name === values.kernel);

function refuse(reason: string): never {
  process.stderr.write(`vm: ${reason}\n`);
  process.exit(failed);
}

const variable = (text: string): readonly [string, string] => {
  const [name = '', ...value] = text.split('=');
  return [name, value.join('=')];
};

if (kernel === undefined) refuse(`there is no kernel ${values.kernel}`);
if (positionals.length === 0) refuse('a command is missing');
const obstacle = await machineObstacle(kernel);
if (obstacle !== undefined) refuse(obstacle);

const { status, isLate, console } = await runInMachine({
  kernel,
  argv: positionals,
  env: Object.fromEntries(values.env.map(variable)),
  limitMs: Number(values.limit) * 1000,
  memoryMegabytes: Number(values.memory),
  ...(values.disk === undefined ? {} : { disk: { path: values.disk, sizeBytes: diskBytes } }),
  onOutput: (stream, chunk) => void writeSync(stream === 'stdout' ? 1 : 2, chunk),
  ...(values.console ? { onConsole: (chunk: Buffer) => void writeSync(2, chunk) } : {}),
});
if (status === null) {
  process.stderr.write(`${console.trimEnd().split('\n').slice(-30).join('\n')}\n`);
  process.stderr.write(isLate ? `vm: ended after ${values.limit} s\n` : 'vm: it ended by itself\n');
}
process.exit(status ?? (isLate ? late : failed));
