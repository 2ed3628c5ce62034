// The part of the demo about overlaybd: an ordinary image is converted, and two containers of it
// share one block device.
import { join } from 'node:path';
import type { Image } from '../../test/e2e/lab/image.ts';
import { deviceObstacle } from '../../test/native/device-obstacle.ts';
import { keyOf, removeImage, runContainer, type Stage } from './stage.ts';
import { indented, say, show, step } from './steps.ts';

const reference = 'localhost/demo-overlaybd:latest';
const containers = ['demo-first', 'demo-second'] as const;

const script = (own: string): string =>
  [
    `echo "I am ${own}. A file that layer 3 replaced: $(cat /data/replaced)"`,
    `echo ${own} >/root/note; echo "My note says $(cat /root/note)"`,
  ].join('\n');

/** Converts the image, runs two containers of the result, and takes it all away. */
export async function demonstrateBlockImage(stage: Stage, image: Image): Promise<void> {
  const obstacle = deviceObstacle();
  if (obstacle !== undefined) {
    say(`\nWithout the part about overlaybd images, since it ${obstacle}.\n`);
    return;
  }
  const { containerd, snapshotter, scratch } = stage;
  const archive = join(scratch.path, 'images', 'demo-overlaybd.tar');
  await show('The same image as one of overlaybd layers, made without root or mounts:', [
    ...['convert', '--name', reference, image.archivePath, archive],
  ]);
  say('\n');
  await step(
    'import',
    () => containerd.ctr('images', 'import', '--snapshotter', 'varve', archive),
    () => 'its layers are recognised as block layers',
  );
  await step(
    'containers',
    async () => {
      for (const name of containers) {
        await runContainer(stage, ['--detach'], reference, name, 'sleep', '1000');
      }
    },
    () => `${containers.length} of the converted image`,
  );
  for (const name of containers) {
    const options = ['--exec-id', 'demo', ...containerd.execOptions];
    const argv = ['tasks', 'exec', ...options, name, 'sh', '-c', script(name)];
    say(`${indented(await containerd.ctr(...argv))}\n`);
  }
  const { address } = snapshotter;
  await show('One block device serves both, which lease it:', ['devices'], address);
  const key = await keyOf(stage, containers[1]);
  await show('Why is the second container’s snapshot as it is?', ['why', key], address);
  say('\n');
  await step('removal of both', async () => {
    for (const name of containers) {
      await containerd.ctr('tasks', 'rm', '-f', name);
      await containerd.ctr('containers', 'rm', name);
    }
    await removeImage(stage, reference);
  });
}
