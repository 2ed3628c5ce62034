// `make demo`: containers on varve, from nothing to nothing. Starts varve and a containerd of its
// own in a scratch directory, imports a small image made on the spot, runs a container, shows what
// varve knows about it, does the same with the image converted to overlaybd layers, and takes
// everything away again, also after a failure or Ctrl-C.
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { inspect } from 'node:util';
import { cacheVariable } from '../test/e2e/lab/cache.ts';
import {
  containerdDirectory,
  runcDirectory,
  staticBusybox,
} from '../test/e2e/lab/debian-packages.ts';
import { buildSampleImage, type Image } from '../test/e2e/lab/image.ts';
import { makeScratch, type Scratch } from '../test/e2e/lab/scratch.ts';
import { demonstrateBlockImage } from './demo/block-image.ts';
import { keyOf, removeImage, runContainer, startStage, type Stage } from './demo/stage.ts';
import {
  checkInterruption,
  indented,
  Interrupted,
  interruption,
  say,
  show,
  step,
} from './demo/steps.ts';
import { describeLeftovers, findLeftovers, removeLeftovers, runVariable } from './test/leaks.ts';

const containerName = 'demo-container';
const containerScript = [
  'echo "Hello from a container on varve."',
  'echo "Its root is $(mount | grep " / " | cut -d " " -f 1,5 | cut -c 1-40)"',
  'echo "A file that layer 3 replaced: $(cat /data/replaced)"',
  'echo "A directory that layer 3 began anew holds: $(ls /data/opaque)"',
  'echo written here > /root/note',
].join('\n');

// Everything that is started from here carries it, so that what is left at the end can be found.
process.env[runVariable] = `demo-${process.pid}`;

/** How long what is running may take to end after an interruption. */
const graceMs = 15_000;

// Whoever watches may go away; what was started is taken down all the same.
process.stdout.on('error', () => undefined);

interface Programs {
  readonly directories: readonly string[];
  readonly busybox: string;
}

async function findPrograms(): Promise<Programs> {
  const busybox = await staticBusybox();
  return { directories: [await containerdDirectory(), await runcDirectory()], busybox };
}

async function importImage({ scratch, containerd }: Stage, { busybox }: Programs): Promise<Image> {
  const directory = join(scratch.path, 'images');
  mkdirSync(directory);
  const image = await step(
    'image',
    () => buildSampleImage({ name: 'demo', directory, busybox, extraLayers: 1 }),
    ({ layers, archivePath }) => `${layers.length} layers in ${basename(archivePath)}`,
  );
  await step(
    'import',
    () => containerd.ctr('images', 'import', '--snapshotter', 'varve', image.archivePath),
    () => `unpacked by containerd into varve's snapshots`,
  );
  return image;
}

async function demonstrateImage(stage: Stage, { reference }: Image): Promise<void> {
  const output = await step('container', () =>
    runContainer(stage, [], reference, containerName, 'sh', '-c', containerScript),
  );
  say(`${indented(output)}\n`);
  const { address } = stage.snapshotter;
  const key = await keyOf(stage, containerName);
  await show('The layers, and the container upon them:', ['tree'], address);
  await show('Why is the container’s snapshot as it is?', ['why', key], address);
  say('\n');
  await step('removal', async () => {
    await stage.containerd.ctr('containers', 'rm', containerName);
    await removeImage(stage, reference);
  });
}

async function demonstrate(scratch: Scratch): Promise<void> {
  const programs = await step('programs', findPrograms, ({ directories, busybox }) =>
    [...new Set([...directories, busybox])].join(', '),
  );
  const stage = await startStage(scratch, programs.directories);
  const image = await importImage(stage, programs);
  await demonstrateImage(stage, image);
  await demonstrateBlockImage(stage, image);
  const { address } = stage.snapshotter;
  await show('Everything that happened, from the first event:', ['events'], address);
  await show('Folding the whole history again gives the state that is live:', ['verify'], address);
}

/**
 * The services' own guard ends this process at once when it is interrupted; here everything is to
 * be taken down in order instead. (It is installed with the first service, so it has to be taken
 * away as soon as it appears.)
 */
function keepSignals(): void {
  const isOurs = new Set<unknown>();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    for (const listener of process.listeners(signal)) isOurs.add(listener);
    process.on('newListener', (event: string | symbol, listener: () => void) => {
      if (event === signal && !isOurs.has(listener)) {
        setImmediate(() => process.removeListener(signal, listener));
      }
    });
  }
}

/** Notes that the user wants to leave; fulfilled when what was running then had time to end. */
function graceAfterInterruption(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        interruption.by ??= signal;
        setTimeout(resolve, graceMs).unref();
      });
    }
  });
}

async function main(): Promise<void> {
  const grace = graceAfterInterruption();
  keepSignals();
  const scratch = makeScratch('vd-');
  // Debian's packages are unpacked where they go away with everything else.
  process.env[cacheVariable] ??= join(scratch.path, 'packages');
  let failure: unknown;
  try {
    await Promise.race([demonstrate(scratch), grace]);
    checkInterruption();
  } catch (error) {
    // What a signal to the whole group broke is no failure of its own.
    failure = interruption.by === undefined ? error : new Interrupted(`by ${interruption.by}`);
  }
  say('\n');
  say('clean up … ');
  try {
    await scratch.dispose();
    say('ok\n');
  } catch (error) {
    say('FAILED\n');
    failure ??= error;
  }
  const leftovers = findLeftovers(scratch.path, process.env[runVariable] ?? '');
  for (const line of describeLeftovers(leftovers)) {
    say(`  left behind: ${line}\n`);
    failure ??= new Error('something was left behind');
  }
  removeLeftovers(scratch.path, leftovers);
  if (failure === undefined) return;
  process.exitCode = 1;
  const message = failure instanceof Error ? failure.message : inspect(failure);
  const isInterrupted = failure instanceof Interrupted;
  const what = isInterrupted ? 'The demo was interrupted' : 'The demo did not succeed';
  process.stderr.write(`\n${what}: ${message}\n`);
}

await main();
