// A real containerd in the virtual machine, over each transport that its kernel has: an image of
// overlaybd layers, containers above its device, one that writes a device of its own.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { debianContainerd } from '../../e2e/lab/clients.ts';
import type { Image } from '../../e2e/lab/image.ts';
import { expectedTree, treeDifferences } from '../../e2e/lab/tree.ts';
import { VarveNode } from '../../e2e/lab/varve-node.ts';
import { chainOf, filesBelow, lookAt } from '../../e2e/lab/views.ts';
import { deviceOf, optionsOf, transportsHere } from '../transports.ts';

const writable = { 'containerd.io/snapshot/overlaybd.writable': 'dir' };

const client = await debianContainerd();
const skip = 'missing' in client ? client.missing : false;

for (const transport of transportsHere()) {
  describe(`containerd in the machine, ${transport}`, { skip, timeout: 600_000 }, () => {
    let started: VarveNode | undefined;
    let image: Image;
    const node = (): VarveNode => {
      assert.ok(started !== undefined, 'containerd or the snapshotter did not start');
      return started;
    };
    before(async () => {
      if (!('programDirectories' in client)) return;
      started = await VarveNode.start({ prefix: 'm-', client, ...optionsOf(transport) });
      image = await started.image('overlaybd');
      await started.import(image);
    });
    after(() => started?.scratch.dispose());

    test('every file of the image is what its layers say', async () => {
      await lookAt(node(), chainOf(image), async (root) => {
        const expected = expectedTree(image.layers.map(({ entries }) => entries));
        assert.deepEqual(treeDifferences(expected, filesBelow(root)), []);
      });
    });

    test('containers share its device, one writes its own, and each has what it wrote', async () => {
      for (const name of ['one', 'two']) await node().startContainer(image, name);
      await node().startContainer(image, 'own', writable);
      for (const name of ['one', 'own']) {
        await node().execute(name, `echo ${name} >/written; sync; rm /data/replaced`);
      }
      const look = 'cat /written /data/replaced 2>/dev/null; true';
      assert.equal(await node().execute('one', look), 'one\n');
      assert.equal(await node().execute('two', look), 'after\n');
      assert.equal(await node().execute('own', look), 'own\n');
      const { devices } = await node().state();
      assert.deepEqual(
        devices.map(({ state, leases }) => [state, leases.length]),
        [
          ['ready', 2],
          ['ready', 1],
        ],
      );
      for (const { path } of devices) assert.match(path ?? '', deviceOf(transport));
    });

    test('they go on while varve-bd and varve serve are killed and come back', async () => {
      const before = (await node().state()).devices;
      await node().kill();
      await node().replaceBlockDaemon('kill');
      const more = 'echo more >>/written; sync; tail -n 1 /written; md5sum /bin/busybox';
      const said: string[] = [];
      for (const name of ['one', 'own']) said.push(await node().execute(name, more));
      assert.match(said[0] ?? '', /^more\n[0-9a-f]{32} /);
      assert.equal(said[0], said[1]);
      await node().restart();
      assert.deepEqual((await node().state()).devices, before);
    });

    test('what a container wrote to its device becomes a layer', async () => {
      await node().containerd.ctr('tasks', 'rm', '-f', 'own');
      await node().snapshots('commit', 'saved', 'own');
      await node().snapshots('label', 'saved', 'containerd.io/gc.root=1');
      assert.equal((await node().attachedDevices()).length, 1);
      await lookAt(node(), 'saved', async (root) => {
        const files = filesBelow(root);
        assert.ok(files.has('written') && files.has('bin/busybox') && !files.has('data/replaced'));
      });
      await node().snapshots('rm', 'saved');
      await node().containerd.ctr('containers', 'rm', 'own');
    });

    test('nothing is left when all is removed', async () => {
      for (const name of ['one', 'two']) await node().removeContainer(name);
      await node().containerd.ctr('images', 'rm', '--sync', image.reference);
      await node().collectGarbage();
      await node().nothingLeft();
    });
  });
}
