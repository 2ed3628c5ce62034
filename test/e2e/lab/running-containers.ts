// A program that has two containers running through the snapshotter that it is given, says `ready`,
// and waits to be told to end.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startContainerd } from './containerd.ts';
import { containerdDirectory, runcDirectory, staticBusybox } from './debian-packages.ts';
import { buildSampleImage } from './image.ts';
import { makeScratch } from './scratch.ts';
import { startSnapshotter, stopSnapshotter } from './snapshotter.ts';

const [command = ''] = process.argv.slice(2);
const scratch = makeScratch('i-');
const images = join(scratch.path, 'images');
mkdirSync(images);
const busybox = await staticBusybox();
const image = await buildSampleImage({ name: 'sample', directory: images, busybox });
const snapshotter = await startSnapshotter({ command, directory: join(scratch.path, 'v') });
scratch.defer(() => stopSnapshotter(snapshotter));
const { address, root } = snapshotter;
const containerd = await startContainerd({
  directory: join(scratch.path, 'c'),
  programDirectories: [await containerdDirectory(), await runcDirectory()],
  snapshotters: [{ name: 'varve', address, root, capabilities: ['rebase'] }],
});
scratch.defer(() => containerd.stop());
const plugin = ['--snapshotter', 'varve'];
await containerd.ctr('images', 'import', ...plugin, image.archivePath);
for (const name of ['first', 'second']) {
  const options = ['--detach', ...plugin, ...containerd.runOptions];
  await containerd.ctr('run', ...options, image.reference, name, 'sleep', '1000');
}
process.stdout.write('ready\n');
// The services keep this process alive.
