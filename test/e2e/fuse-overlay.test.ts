// A root on which the kernel cannot mount overlays, because it lies on one: containers are run all
// the same, by fuse-overlayfs, which containerd runs.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { debianContainerd } from './lab/clients.ts';
import { MissingError, runCommand } from './lab/command.ts';
import { provideFuseOverlay } from './lab/debian-packages.ts';
import { makeScratch, type Scratch } from './lab/scratch.ts';
import { VarveNode } from './lab/varve-node.ts';

/** Why something cannot be had here; undefined if it was. */
const missingOf = (work: Promise<void>): Promise<string | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof MissingError) return error.message;
      throw error;
    },
  );

/** Mounts an overlay on a directory. */
async function mountOverlay(directory: string, scratch: Scratch): Promise<void> {
  const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => join(scratch.path, name));
  for (const path of [lower, upper, work]) mkdirSync(path ?? '');
  const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  await runCommand(['mount', '-t', 'overlay', 'overlay', '-o', layers, directory]);
}

test('with the root on an overlay containers are run by fuse-overlayfs', async (t) => {
  const client = await debianContainerd();
  const obstacle = 'missing' in client ? client.missing : deviceObstacle();
  if (obstacle !== undefined || 'missing' in client) {
    t.skip(obstacle);
    return;
  }
  const programs = makeScratch('varve-fuse-');
  try {
    const missing = await missingOf(provideFuseOverlay(programs.path));
    if (missing !== undefined) {
      t.skip(missing);
      return;
    }
    const programDirectories = [...client.programDirectories, programs.path];
    const node = await VarveNode.start({
      prefix: 'varve-fuse-',
      client: { ...client, programDirectories },
      prepare: mountOverlay,
    });
    programs.defer(node.scratch.dispose);
    const image = await node.image('ordinary');
    await node.import(image);
    const script =
      'echo new >/data/new; rm /data/replaced; cat /data/new; ls /data/replaced /data/gone 2>&1; ' +
      'ls /data/opaque; true';
    const said = await node.runOnce(image.reference, script);
    assert.match(said, /^new\n/);
    assert.equal(said.match(/No such file/g)?.length, 2);
    assert.match(said, /\bshown\b/);
    assert.match(await node.runOnce(image.reference, 'cat /data/replaced'), /^after/);
    await node.containerd.ctr('images', 'rm', '--sync', image.reference);
    await node.nothingLeft();
  } finally {
    await programs.dispose();
  }
});
