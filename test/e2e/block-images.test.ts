// Images of overlaybd layers with real containerds: imported, run, shared, removed.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { virtualSize } from './lab/block-image.ts';
import { debianContainerd, newContainerd } from './lab/clients.ts';
import { runCommand } from './lab/command.ts';
import { annotateLayers, type Image } from './lab/image.ts';
import { startRegistry } from './lab/registry.ts';
import { mountsBelow } from './lab/scratch.ts';
import { waitUntil } from './lab/service.ts';
import { expectedTree, treeDifferences, type Tree } from './lab/tree.ts';
import { plugin, VarveNode } from './lab/varve-node.ts';
import { chainOf, filesBelow, lookAt } from './lab/views.ts';

const command = resolve(import.meta.dirname, '../../bin/varve');

for (const client of [await debianContainerd(), await newContainerd()]) {
  const skip = 'missing' in client ? client.missing : (deviceObstacle() ?? false);
  describe(`${client.name}, overlaybd image`, { skip, timeout: 300_000 }, () => {
    let started: VarveNode | undefined;
    const node = (): VarveNode => {
      if (started === undefined) throw new Error('containerd or the snapshotter did not start');
      return started;
    };
    /** The ordinary image, and what it was converted into. */
    let plain: Image;
    let image: Image;
    before(async () => {
      if (!('programDirectories' in client)) return;
      started = await VarveNode.start({ prefix: 'varve-obd-', client });
      plain = await started.image('ordinary');
      image = await started.image('overlaybd');
    });
    after(() => started?.scratch.dispose());

    test('its layers become block layers, without a device', async () => {
      await node().import(image);
      const { snapshots, devices } = await node().state();
      assert.deepEqual(
        snapshots.map(({ backing }) => backing),
        image.layers.map(() => 'localBlock'),
      );
      assert.deepEqual(devices, []);
      assert.deepEqual(await node().attachedDevices(), []);
    });

    test('a view is the device, read-only, and every file is what its layers say', async () => {
      await lookAt(node(), chainOf(image), async (root) => {
        const expected = expectedTree(image.layers.map(({ entries }) => entries));
        assert.deepEqual(treeDifferences(expected, filesBelow(root)), []);
        const [one, two, three] = [1, 2, 3].map((at) => statSync(join(root, `data/hard${at}`)));
        assert.equal(three?.ino, one?.ino);
        assert.deepEqual([one?.nlink, two?.nlink], [2, 1]);
        await assert.rejects(runCommand(['touch', join(root, 'new')]), /Read-only/);
      });
    });

    test('every file is what the ordinary image has', async () => {
      await node().import(plain);
      const found: Tree[] = [];
      for (const one of [plain, image]) {
        await lookAt(node(), chainOf(one), async (root) => void found.push(filesBelow(root)));
      }
      assert.ok(found[0]!.size > 80, 'there are files to compare');
      assert.deepEqual(treeDifferences(found[0]!, found[1]!), []);
    });

    test('what containerd exports is converted into the same image', async () => {
      const { containerd, scratch } = node();
      const exported = join(scratch.path, 'exported.tar');
      await containerd.ctr('images', 'export', exported, plain.reference);
      const converted = join(scratch.path, 'exported');
      await runCommand([command, 'convert', '--vsize', virtualSize, exported, converted]);
      const index = readFileSync(join(converted, 'index.json'), 'utf8');
      assert.ok(index.includes(image.manifest.digest), index);
      await containerd.ctr('images', 'rm', '--sync', plain.reference);
    });

    test('ten containers share one device, and do not see what others write', async () => {
      const names = Array.from({ length: 10 }, (_, index) => `box-${index}`);
      await Promise.all(names.map((name) => node().startContainer(image, name)));
      await node().execute('box-0', 'echo mine >/written; rm /data/replaced');
      assert.equal((await node().execute('box-0', 'cat /written')).trim(), 'mine');
      const other = await node().execute('box-1', 'cat /data/replaced; ls /written 2>&1; true');
      assert.match(other, /^after/);
      assert.match(other, /No such file/);
      const { devices } = await node().state();
      assert.equal(devices.length, 1);
      assert.equal(devices[0]?.state, 'ready');
      assert.equal(devices[0]?.leases.length, 10);
      assert.deepEqual(await node().attachedDevices(), [`snapshot-${devices[0]?.id}`]);
    });

    test('kill -9 of the snapshotter: containers go on, the device is known again', async () => {
      const before = (await node().state()).devices;
      await node().kill();
      assert.equal((await node().execute('box-0', 'cat /written')).trim(), 'mine');
      await node().restart();
      assert.deepEqual((await node().state()).devices, before);
      assert.equal((await node().execute('box-1', 'cat /data/replaced')).trim(), 'after');
    });

    if (client.name === 'containerd 2.4')
      test('a parallel pull gives every layer its parent, and a collection takes none', async () => {
        const registry = await startRegistry(join(node().scratch.path, 'registry'));
        try {
          const { containerd } = node();
          const reference = await registry.push(image);
          const earlier = (await node().events()).length;
          await containerd.ctr('namespaces', 'create', 'pulled');
          const ctr = (...argv: string[]): Promise<string> =>
            containerd.ctr('--namespace', 'pulled', ...argv);
          await ctr('images', 'pull', '--plain-http', '--snapshotter', plugin, reference);
          const events = (await node().events()).slice(earlier);
          const prepared = events.filter(({ type }) => type === 'SnapshotPrepared');
          assert.deepEqual(
            prepared.map(({ data }) => data.parent),
            image.layers.map(() => ''),
            'a parent comes with Commit alone',
          );
          await node().collectGarbage();
          const known = (await node().state()).snapshots.filter(({ key }) => /^pulled\//.test(key));
          assert.deepEqual(
            known.map(({ backing }) => backing),
            image.layers.map(() => 'localBlock'),
          );
          const layers = image.layers.map(({ chainId }) =>
            known.find(({ key }) => key.endsWith(chainId)),
          );
          for (const [index, layer] of layers.entries()) {
            assert.equal(layer?.parent ?? '', index === 0 ? '' : layers[index - 1]?.key);
          }
          const options = ['--rm', '--snapshotter', plugin, ...containerd.runOptions];
          const said = await ctr('run', ...options, reference, 'pulled', 'cat', '/data/replaced');
          assert.equal(said.trim(), 'after');
          await ctr('images', 'rm', '--sync', reference);
        } finally {
          await registry.stop();
        }
      });

    // `ctr` of the older one hands no annotations on.
    if (client.name === 'containerd 2.4')
      test('an image that asks for mount options is mounted with them; others are refused by name', async () => {
        const { containerd, scratch } = node();
        const registry = await startRegistry(join(scratch.path, 'registry-of-options'));
        const ctr = (...argv: string[]): Promise<string> =>
          containerd.ctr('--namespace', 'asking', ...argv);
        const pull = async (name: string, asked: string): Promise<string> => {
          const label = 'containerd.io/snapshot/overlaybd/blob-fs-type';
          const reference = await registry.push(annotateLayers(image, { [label]: asked }), name);
          await ctr('images', 'pull', '--plain-http', '--snapshotter', plugin, reference);
          return reference;
        };
        const paths = async (): Promise<readonly (string | null)[]> =>
          (await node().state()).devices.map(({ path }) => path);
        try {
          await containerd.ctr('namespaces', 'create', 'asking');
          await assert.rejects(pull('panicking', 'ext4;noload,errors=panic'), /errors=panic/);
          const reference = await pull('asking', 'ext4;noload');
          const known = await paths();
          const options = ['--snapshotter', plugin, ...containerd.runOptions];
          await ctr('run', ...options, '--detach', reference, 'asking', 'sleep', '1000');
          const path = (await paths()).find((one) => !known.includes(one));
          const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
          const found = mounts.find((line) => line.startsWith(`${path} `)) ?? '';
          // The kernel's own word for it.
          assert.match(found, / ext4 ro,(\S+,)?norecovery/);
          const look = ['--exec-id', 'look', ...containerd.execOptions];
          const said = await ctr('tasks', 'exec', ...look, 'asking', 'cat', '/data/replaced');
          assert.equal(said.trim(), 'after');
          await ctr('tasks', 'rm', '-f', 'asking');
          await ctr('containers', 'rm', 'asking');
          await ctr('images', 'rm', '--sync', reference);
        } finally {
          await registry.stop();
        }
      });

    test('nothing is left when containers and image are removed', async () => {
      for (let index = 0; index < 10; index += 1) await node().removeContainer(`box-${index}`);
      await node().collectGarbage();
      await waitUntil('the device is gone', async () => {
        return (await node().attachedDevices()).length === 0;
      });
      assert.deepEqual(mountsBelow(node().root), []);
      await node().containerd.ctr('images', 'rm', '--sync', image.reference);
      await node().nothingLeft();
    });
  });
}
