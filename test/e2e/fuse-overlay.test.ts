// A root on which the kernel cannot mount overlays, because it lies on one: containers are run all
// the same, by fuse-overlayfs, which containerd runs.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { plugin } from './lab/block-node.ts';
import { debianContainerd } from './lab/clients.ts';
import { MissingError, runCommand } from './lab/command.ts';
import { startContainerd } from './lab/containerd.ts';
import { provideFuseOverlay, staticBusybox } from './lab/debian-packages.ts';
import { buildSampleImage } from './lab/image.ts';
import { makeScratch, mountsBelow } from './lab/scratch.ts';
import { waitUntil } from './lab/service.ts';
import { startSnapshotter, stopSnapshotter } from './lab/snapshotter.ts';

const command = resolve(import.meta.dirname, '../../bin/varve');

/** Why something cannot be had here; undefined if it was. */
const missingOf = (work: Promise<void>): Promise<string | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof MissingError) return error.message;
      throw error;
    },
  );

test('with the root on an overlay containers are run by fuse-overlayfs', async (t) => {
  const client = await debianContainerd();
  const obstacle = 'missing' in client ? client.missing : deviceObstacle();
  if (obstacle !== undefined || 'missing' in client) {
    t.skip(obstacle);
    return;
  }
  const scratch = makeScratch('varve-fuse-');
  const directories = [join(scratch.path, 'bin')];
  try {
    mkdirSync(directories[0]!);
    const missing = await missingOf(provideFuseOverlay(directories[0]!));
    if (missing !== undefined) {
      t.skip(missing);
      return;
    }
    const at = (name: string): string => join(scratch.path, name);
    for (const name of ['lower', 'upper', 'work', 'merged', 'images']) mkdirSync(at(name));
    const layers = `lowerdir=${at('lower')},upperdir=${at('upper')},workdir=${at('work')}`;
    await runCommand(['mount', '-t', 'overlay', 'overlay', '-o', layers, at('merged')]);
    scratch.defer(() => runCommand(['umount', at('merged')]));
    const busybox = await staticBusybox();
    const image = await buildSampleImage({ name: 'sample', directory: at('images'), busybox });
    const snapshotter = await startSnapshotter({
      ...{ command, directory: at('merged'), programDirectories: directories },
    });
    scratch.defer(() => stopSnapshotter(snapshotter));
    const { address, root } = snapshotter;
    const containerd = await startContainerd({
      directory: at('containerd'),
      programDirectories: [...client.programDirectories, ...directories],
      snapshotters: [{ name: plugin, address, root, capabilities: [] }],
    });
    scratch.defer(() => containerd.stop());
    const { ctr, runOptions } = containerd;
    await ctr('images', 'import', '--snapshotter', plugin, image.archivePath);
    const script =
      'echo new >/data/new; rm /data/replaced; cat /data/new; ls /data/replaced /data/gone 2>&1; ' +
      'ls /data/opaque; true';
    const options = ['--rm', '--snapshotter', plugin, ...runOptions];
    const said = await ctr('run', ...options, image.reference, 'box', 'sh', '-c', script);
    assert.match(said, /^new\n/);
    assert.equal(said.match(/No such file/g)?.length, 2);
    assert.match(said, /\bshown\b/);
    const again = await ctr('run', ...options, image.reference, 'box', 'cat', '/data/replaced');
    assert.match(again, /^after/);
    await ctr('images', 'rm', '--sync', image.reference);
    await waitUntil(
      'no layer on disk',
      async () => readdirSync(join(root, 'snapshots')).length === 0,
    );
    assert.deepEqual(mountsBelow(root), []);
  } finally {
    await scratch.dispose();
  }
});
