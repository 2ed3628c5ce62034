// Containers that write block devices of their own, with real containerds: mounted for them
// (`dir`), or by them (`dev`); what they wrote becomes a layer that runs.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { MethodDefinition } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshotService } from '../../src/server/grpc/definitions.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { TestClient } from '../server/client.ts';
import { debianContainerd, newContainerd } from './lab/clients.ts';
import { runCommand } from './lab/command.ts';
import type { Image } from './lab/image.ts';
import { waitUntil } from './lab/service.ts';
import { VarveNode } from './lab/varve-node.ts';

const writable = 'containerd.io/snapshot/overlaybd.writable';
const size = 'containerd.io/snapshot/overlaybd/vsize';
const fileSystem = 'containerd.io/snapshot/overlaybd/blob-fs-type';

for (const client of [await debianContainerd(), await newContainerd()]) {
  const skip = 'missing' in client ? client.missing : (deviceObstacle() ?? false);
  // One of the forms with each, so that both are tried.
  const writableLayerType = client.name.includes('1.') ? 'append' : 'sparse';
  const name = `${client.name}, writable devices, ${writableLayerType}`;
  describe(name, { skip, timeout: 300_000 }, () => {
    let started: VarveNode | undefined;
    let image: Image;
    const node = (): VarveNode => {
      if (started === undefined) throw new Error('containerd or the snapshotter did not start');
      return started;
    };
    const snapshots = (...argv: string[]): Promise<string> => node().snapshots(...argv);
    // Nothing in containerd refers to what is made by hand.
    const make = async (command: string, key: string, on: string): Promise<void> => {
      await node().collectGarbage();
      await snapshots(command, key, on);
      await snapshots('label', key, 'containerd.io/gc.root=1');
    };
    const mount = async (key: string): Promise<string> => {
      const target = join(node().scratch.path, `mounted-${key}`);
      mkdirSync(target, { recursive: true });
      await runCommand(['sh', '-e', '-c', await snapshots('mounts', target, key)]);
      return target;
    };
    const unmount = (target: string): Promise<string> => runCommand(['umount', '-R', target]);
    const gone = (): Promise<void> =>
      waitUntil('no device is left', async () => (await node().attachedDevices()).length === 0);

    before(async () => {
      if (!('programDirectories' in client)) return;
      const settings = { rwMode: 'dir', writableLayerType };
      started = await VarveNode.start({ prefix: 'varve-obd-', client, settings });
      image = await started.image('overlaybd');
    });
    after(() => started?.scratch.dispose());

    test('an import attaches no device, although containers shall write their own', async () => {
      await node().import(image);
      const { snapshots: known, devices } = await node().state();
      assert.deepEqual(
        known.map(({ backing }) => backing),
        image.layers.map(() => 'localBlock'),
      );
      assert.deepEqual(devices, []);
    });

    test('dir, dev and overlayfs: each container has what it wrote, and what the image holds', async () => {
      const modes = { dir: 'dir', dev: 'dev', over: 'overlayfs' };
      for (const [key, mode] of Object.entries(modes)) {
        await node().startContainer(image, key, { [writable]: mode });
        await node().execute(key, `echo ${key} >/written; rm /data/replaced`);
      }
      for (const key of Object.keys(modes)) {
        assert.equal((await node().execute(key, 'cat /written')).trim(), key);
      }
      await node().startContainer(image, 'plain');
      assert.match(await node().execute('plain', 'cat /data/replaced'), /^after/);
      const { snapshots: known } = await node().state();
      const backingOf = (key: string): string | undefined =>
        known.find((one) => one.key.endsWith(`/${key}`))?.backing;
      assert.deepEqual(['dir', 'dev', 'over', 'plain'].map(backingOf), [
        'writableBlock',
        'writableBlock',
        'directory',
        'writableBlock',
      ]);
      // Three of their own, and one that is shared.
      assert.equal((await node().attachedDevices()).length, 4);
      for (const key of ['dev', 'over', 'plain']) await node().removeContainer(key);
      await node().collectGarbage();
      await waitUntil(
        'only one is left',
        async () => (await node().attachedDevices()).length === 1,
      );
    });

    test('Commit waits for nobody: a device in use is not taken away', async () => {
      await assert.rejects(snapshots('commit', 'saved', 'dir'), /in use|busy/);
      assert.equal((await node().execute('dir', 'cat /written')).trim(), 'dir');
    });

    test('what a container wrote becomes a layer; containers on it see it', async () => {
      await node().containerd.ctr('tasks', 'rm', '-f', 'dir');
      await make('commit', 'saved', 'dir');
      assert.deepEqual(await node().attachedDevices(), []);
      const info = JSON.parse(await snapshots('info', 'saved')) as {
        Labels: Record<string, string>;
      };
      const file = info.Labels['containerd.io/snapshot/overlaybd.localcommitpath'];
      assert.ok(file !== undefined && statSync(file).isFile());
      await make('prepare', 'next', 'saved');
      const target = await mount('next');
      try {
        const argv = ['run', '--rm', ...node().containerd.runOptions, '--rootfs', target, 'onnext'];
        const script = 'export PATH=/bin; cat /written; ls /data; echo more >>/written';
        const said = await node().containerd.ctr(...argv, '/bin/sh', '-c', script);
        assert.match(said, /^dir/);
        assert.doesNotMatch(said, /replaced/);
      } finally {
        await unmount(target);
      }
      await make('commit', 'twice', 'next');
      await make('view', 'look', 'twice');
      const seen = await mount('look');
      try {
        assert.equal(await runCommand(['cat', join(seen, 'written')]), 'dir\nmore\n');
        await assert.rejects(runCommand(['touch', join(seen, 'new')]), /Read-only/);
      } finally {
        await unmount(seen);
      }
      await snapshots('rm', 'look');
      await snapshots('rm', 'twice');
      await snapshots('rm', 'saved');
      await node().containerd.ctr('containers', 'rm', 'dir');
      await node().collectGarbage();
      await gone();
    });

    for (const type of ['ext4', 'xfs']) {
      test(`a new device with ${type} is empty, has its size, and becomes a layer`, async () => {
        const client = new TestClient(node().address);
        const call = async <Request, Response>(
          method: MethodDefinition<Request, Response>,
          request: Request,
        ): Promise<Response | undefined> => {
          const reply = await client.call(method, request);
          assert.equal(reply.code, 0, reply.details);
          return reply.value;
        };
        const key = `new-${type}`;
        const name = `made-${type}`;
        try {
          const labels = { [writable]: 'dir', [size]: '2', [fileSystem]: type };
          const prepared = await call(snapshotService.prepare, { key, parent: '', labels });
          const source = prepared?.mounts?.[0]?.source ?? '';
          assert.deepEqual(readdirSync(source), []);
          const said = await runCommand(['df', '--output=fstype,size', '-B1M', source]);
          const [found, sizeMib] = said.trim().split('\n').at(-1)?.trim().split(/\s+/) ?? [];
          assert.equal(found, type);
          assert.ok(Number(sizeMib) > 1_500 && Number(sizeMib) <= 2_048, said);
          writeFileSync(join(source, 'file'), 'kept\n');
          await call(snapshotService.commit, { name, key });
          const seen = await call(snapshotService.view, { key: 'look', parent: name });
          const device = seen?.mounts?.[0]?.source ?? '';
          assert.equal(await runCommand(['cat', join(device, 'file')]), 'kept\n');
          await call(snapshotService.remove, { key: 'look' });
          await call(snapshotService.remove, { key: name });
        } finally {
          client.close();
        }
        await gone();
      });
    }

    test('nothing is left', async () => {
      await node().containerd.ctr('images', 'rm', '--sync', image.reference);
      await node().nothingLeft();
    });
  });
}
