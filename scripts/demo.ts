// `make demo`: a container on varve, from nothing to nothing. Starts varve and a containerd of its
// own in a scratch directory, imports a small image made on the spot, runs a container, shows what
// varve knows about it, and takes everything away again, also after a failure or Ctrl-C.
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { cacheVariable } from '../test/e2e/lab/cache.ts';
import { runCommand } from '../test/e2e/lab/command.ts';
import { startContainerd, type Containerd } from '../test/e2e/lab/containerd.ts';
import {
  containerdDirectory,
  runcDirectory,
  staticBusybox,
} from '../test/e2e/lab/debian-packages.ts';
import { buildSampleImage, type Image } from '../test/e2e/lab/image.ts';
import { waitUntil } from '../test/e2e/lab/service.ts';
import { makeScratch, type Scratch } from '../test/e2e/lab/scratch.ts';
import {
  startSnapshotter,
  stopSnapshotter,
  type Snapshotter,
} from '../test/e2e/lab/snapshotter.ts';
import { describeLeftovers, findLeftovers, removeLeftovers, runVariable } from './test/leaks.ts';

const varve = fileURLToPath(new URL('../bin/varve', import.meta.url));
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

const say = (text: string): void => void process.stdout.write(text);
// Whoever watches may go away; what was started is taken down all the same.
process.stdout.on('error', () => undefined);

/** Whether the user wants to leave early. What runs then ends by itself; nothing more is begun. */
const interruption: { by?: NodeJS.Signals } = {};

class Interrupted extends Error {}

function checkInterruption(): void {
  if (interruption.by !== undefined) throw new Interrupted(`interrupted by ${interruption.by}`);
}

/** Runs one step and says in one line what came of it and how long it took. */
async function step<Value>(
  name: string,
  work: () => Promise<Value>,
  result: (value: Value) => string = () => '',
): Promise<Value> {
  checkInterruption();
  say(`${name} … `);
  const begin = Date.now();
  try {
    const value = await work();
    const text = result(value);
    say(`ok ${((Date.now() - begin) / 1000).toFixed(1)} s${text === '' ? '' : `: ${text}`}\n`);
    return value;
  } catch (error) {
    say('FAILED\n');
    throw error;
  }
}

/** Shows a command as one would type it, and what it prints. */
async function show(
  snapshotter: Snapshotter,
  what: string,
  argv: readonly string[],
): Promise<void> {
  checkInterruption();
  const typed = argv.map((word) => (/^[\w./#-]+$/.test(word) ? word : `'${word}'`)).join(' ');
  say(`\n${what}\n  $ varve ${typed}\n`);
  const printed = await runCommand([varve, '--address', snapshotter.address, ...argv]);
  // Whole digests would hide everything else.
  const short = printed.trimEnd().replace(/(sha256:[0-9a-f]{8})[0-9a-f]{56}/g, '$1…');
  say(`${short.replace(/^/gm, '    ')}\n`);
}

interface Programs {
  readonly directories: readonly string[];
  readonly busybox: string;
}

async function findPrograms(): Promise<Programs> {
  const busybox = await staticBusybox();
  return { directories: [await containerdDirectory(), await runcDirectory()], busybox };
}

async function start(
  scratch: Scratch,
  programs: Programs,
): Promise<{ readonly snapshotter: Snapshotter; readonly containerd: Containerd }> {
  const snapshotter = await step(
    'varve',
    () => startSnapshotter({ command: varve, directory: join(scratch.path, 'v') }),
    ({ address }) => `serving on ${address}`,
  );
  scratch.defer(() => stopSnapshotter(snapshotter));
  const { address, root } = snapshotter;
  const containerd = await step(
    'containerd',
    () =>
      startContainerd({
        directory: join(scratch.path, 'c'),
        programDirectories: programs.directories,
        snapshotters: [{ name: 'varve', address, root, capabilities: ['rebase'] }],
      }),
    ({ version }) => `version ${version}, with varve as a proxy snapshotter`,
  );
  scratch.defer(() => containerd.stop());
  return { snapshotter, containerd };
}

async function importImage(
  scratch: Scratch,
  programs: Programs,
  containerd: Containerd,
): Promise<Image> {
  const directory = join(scratch.path, 'images');
  mkdirSync(directory);
  const { busybox } = programs;
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

/**
 * The key under which varve knows the container's snapshot: containerd puts its own words before.
 */
async function keyOfContainer({ address }: Snapshotter): Promise<string> {
  const printed = await runCommand([varve, '--address', address, 'ls', '--json']);
  const key = new RegExp(`"([^"]*/${containerName})"`).exec(printed)?.[1];
  if (key === undefined) throw new Error(`varve ls does not show ${containerName}:\n${printed}`);
  return key;
}

async function isAllRemoved({ address }: Snapshotter): Promise<boolean> {
  const printed = await runCommand([varve, '--address', address, 'events', '--json']);
  const count = (type: string): number => printed.split(`"${type}"`).length - 1;
  return count('SnapshotRemoved') === count('SnapshotPrepared');
}

async function demonstrate(scratch: Scratch): Promise<void> {
  const programs = await step('programs', findPrograms, ({ directories, busybox }) =>
    [...new Set([...directories, busybox])].join(', '),
  );
  const { snapshotter, containerd } = await start(scratch, programs);
  const { reference } = await importImage(scratch, programs, containerd);
  const output = await step('container', () =>
    containerd.ctr(
      ...['run', '--snapshotter', 'varve', ...containerd.runOptions, reference, containerName],
      ...['sh', '-c', containerScript],
    ),
  );
  say(`${output.trimEnd().replace(/^/gm, '    ')}\n`);

  const key = await keyOfContainer(snapshotter);
  await show(snapshotter, 'The layers, and the container upon them:', ['tree']);
  await show(snapshotter, 'Why is the container’s snapshot as it is?', ['why', key]);

  await step('removal', async () => {
    await containerd.ctr('containers', 'rm', containerName);
    await containerd.ctr('images', 'rm', '--sync', reference);
    // Remove answers before the directories are gone.
    await waitUntil('every directory deleted', () => isAllRemoved(snapshotter));
  });
  await show(snapshotter, 'Everything that happened, from the first event:', ['events']);
  await show(snapshotter, 'Folding the whole history again gives the state that is live:', [
    'verify',
  ]);
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
