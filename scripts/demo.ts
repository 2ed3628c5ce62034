// `make demo`: a container on varve, from nothing to nothing. Starts varve and a containerd of its
// own in a scratch directory, imports a small image made on the spot, runs a container, shows what
// varve knows about it, and takes everything away again, also after a failure or Ctrl-C.
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { runCommand } from '../test/e2e/lab/command.ts';
import { startContainerd, type Containerd } from '../test/e2e/lab/containerd.ts';
import {
  containerdDirectory,
  runcDirectory,
  staticBusybox,
} from '../test/e2e/lab/debian-packages.ts';
import { buildSampleImage, type Image } from '../test/e2e/lab/image.ts';
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

const say = (text: string): void => void process.stdout.write(text);

/** Runs one step and says in one line what came of it and how long it took. */
async function step<Value>(
  name: string,
  work: () => Promise<Value>,
  result: (value: Value) => string = () => '',
): Promise<Value> {
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
  const typed = argv.map((word) => (/^[\w./#-]+$/.test(word) ? word : `'${word}'`)).join(' ');
  say(`\n${what}\n  $ varve ${typed}\n`);
  const printed = await runCommand([varve, '--address', snapshotter.address, ...argv]);
  say(`${printed.trimEnd().replace(/^/gm, '    ')}\n`);
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

/** The key under which varve knows the container's snapshot: containerd puts its own words before. */
async function keyOfContainer({ address }: Snapshotter): Promise<string> {
  const printed = await runCommand([varve, '--address', address, 'ls', '--json']);
  const key = new RegExp(`"([^"]*/${containerName})"`).exec(printed)?.[1];
  if (key === undefined) throw new Error(`varve ls does not show ${containerName}:\n${printed}`);
  return key;
}

async function demonstrate(scratch: Scratch): Promise<void> {
  const programs = await step('programs', findPrograms, ({ directories, busybox }) =>
    [...new Set([...directories, busybox])].join(', '),
  );
  const { snapshotter, containerd } = await start(scratch, programs);
  const { reference } = await importImage(scratch, programs, containerd);
  const output = await step('container', () =>
    containerd.ctr(
      ...['run', '--snapshotter', 'varve', reference, containerName],
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
  });
  await show(snapshotter, 'Everything that happened, from the first event:', ['events']);
  await show(snapshotter, 'Folding the whole history again gives the state that is live:', [
    'verify',
  ]);
}

/** Fulfilled when the user wants to leave early. */
function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => reject(new Error(`interrupted by ${signal}`)));
    }
  });
}

/**
 * The services' own guard ends this process at once when it is interrupted; here everything is to be
 * taken down in order instead. (It is installed with the first service, so it has to be taken away
 * as soon as it appears.)
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

async function main(): Promise<void> {
  const interrupted = interruption();
  interrupted.catch(() => undefined);
  keepSignals();
  const scratch = makeScratch('vd-');
  let failure: unknown;
  try {
    await Promise.race([demonstrate(scratch), interrupted]);
  } catch (error) {
    failure = error;
  }
  say('\n');
  await step('clean up', () => scratch.dispose()).catch((error: unknown) => {
    failure ??= error;
  });
  const leftovers = findLeftovers(scratch.path, process.env[runVariable] ?? '');
  for (const line of describeLeftovers(leftovers)) {
    say(`  left behind: ${line}\n`);
    failure ??= new Error('something was left behind');
  }
  removeLeftovers(scratch.path, leftovers);
  if (failure === undefined) return;
  const message = failure instanceof Error ? failure.message : inspect(failure);
  process.stderr.write(`\nThe demo did not succeed: ${message}\n`);
  process.exitCode = 1;
}

await main();
