// The transports of block devices beside a plain loop device, in virtual machines whose kernels
// have them; all figures of one table are of one run.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runInMachine } from '../../test/vm/machine.ts';
import { machineObstacle } from '../../test/vm/obstacle.ts';
import type { KernelName } from '../../test/vm/kernels.ts';
import { jobs } from '../blocks/devices.ts';
import { buildPrograms } from '../blocks/programs.ts';
import { formats, makeContent, makeStacks } from '../blocks/sample.ts';
import { ending } from '../ending.ts';
import { median, print, rank, ratioOf, table } from '../report.ts';
import type { Measured, Options, Transport } from './inside.ts';

const contentBytes = 64 * 2 ** 20;
const machines: readonly (readonly [KernelName, readonly Transport[]])[] = [
  ['6.1', ['tcmu', 'fuse']],
  ['6.12', ['ublk', 'fuse']],
];

async function measureIn(kernel: KernelName, options: Options, folder: string): Promise<Measured> {
  const optionsFile = join(folder, 'options');
  await writeFile(optionsFile, JSON.stringify(options));
  const { status, stdout, stderr, console } = await runInMachine({
    kernel,
    argv: [
      process.execPath,
      join(import.meta.dirname, 'inside.ts'),
      join(folder, 'stack'),
      optionsFile,
    ],
    // Writes to the kernel's files may wait, each in a thread.
    env: { UV_THREADPOOL_SIZE: '64' },
    memoryMegabytes: 3072,
    limitMs: 3_600_000,
  });
  if (status !== 0) throw new Error(`the machine with ${kernel}: ${stderr || console}`);
  return JSON.parse(stdout) as Measured;
}

function printRates(transports: readonly Transport[], { rates }: Measured): void {
  const rows = jobs.flatMap((job) => {
    const plain = rates[`${job.name}/loop`] ?? [];
    const unit = job.isSequential ? 'MB/s' : 'k/s';
    const row = (name: string, keys: readonly string[]): readonly string[] => [
      `${job.name}, ${name}`,
      `${median(plain).toFixed(1)} ${unit}`,
      ...keys.map((key) => {
        const values = rates[`${job.name}/${key}`];
        return values ? `${median(values).toFixed(1)} (${ratioOf(values, plain)})` : '';
      }),
    ];
    const hasRam = rates[`${job.name}/ram`] !== undefined;
    return [
      ...(hasRam ? [row("RAM disk of the kernel's target", ['ram', '', ''])] : []),
      ...transports.map((one) =>
        row(
          one,
          formats.map((format) => `${one}/${format}`),
        ),
      ),
    ];
  });
  table(['fio with direct I/O (ratio to the loop device)', 'loop device', ...formats], rows);
}

function printLives(
  transports: readonly Transport[],
  { attachMs, detachMs, stallMs, deviceKib }: Measured,
): void {
  const milliseconds = (values: readonly number[] = []): string =>
    `${median(values).toFixed(0)} ms`;
  table(
    ['', 'attach', 'detach', 'each further device'],
    ['loop', ...transports].map((name) => [
      name,
      milliseconds(attachMs[name]),
      milliseconds(detachMs[name]),
      deviceKib[name] === undefined ? '' : `${deviceKib[name].toFixed(0)} KiB`,
    ]),
  );
  table(
    ['longest request when varve-bd is killed and started again', 'p50', 'p99', 'max'],
    Object.entries(stallMs).map(([key, values]) => [
      key.replace('/', ', '),
      ...[0.5, 0.99, 1].map((share) => rank(values, share)),
    ]),
  );
}

/** `scratch` is a directory on a disk. */
export async function measureTransports(
  checkout: string,
  {
    scratch,
    rounds,
    seconds,
  }: Readonly<Record<'rounds' | 'seconds', number>> & { scratch: string },
): Promise<void> {
  const { daemon, holder, layer: layerTool, ...programs } = await buildPrograms(checkout);
  const folder = join(scratch, 'transports');
  const stack = join(folder, 'stack');
  await mkdir(stack, { recursive: true });
  const content = join(stack, 'content');
  await makeContent(content, contentBytes);
  const all = { daemon, holder, layer: layerTool, ...programs };
  await makeStacks(all, { folder: stack, layerCount: 1, content });
  for (const [kernel, transports] of machines) {
    if (ending.aborted) return;
    const obstacle = await machineObstacle(kernel);
    print(`### Transports, in a virtual machine with Debian's kernel ${kernel}`);
    print();
    if (obstacle !== undefined) {
      print(`Not measured: ${obstacle}.`);
      print();
      continue;
    }
    print('Emulated, with 2 processors; layers and content in memory, so the ratios count.');
    print();
    const measured = await measureIn(
      kernel,
      {
        ...{ daemon, holder, layerTool, transports, rounds, seconds },
        ...{ attachCount: 10, deviceCount: 100, killCount: 50 },
      },
      folder,
    );
    printRates(transports, measured);
    printLives(transports, measured);
  }
  await rm(folder, { recursive: true });
}
