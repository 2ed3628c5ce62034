// CRI of containerd 2.4 on varve, driven by crictl: pods and containers of pulled images, and the
// removal of images that nobody uses.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { criTools } from '../e2e/lab/clients.ts';
import { criNamespace, criOf, importSandboxImage, sandboxImage, type Cri } from '../e2e/lab/cri.ts';
import { startRegistry } from '../e2e/lab/registry.ts';
import { VarveNode, type LayerKind } from '../e2e/lab/varve-node.ts';

const client = await criTools();

function testsOf(kind: LayerKind): void {
  let started: VarveNode | undefined;
  let cri: Cri;
  let reference: string;
  let pod: string;
  const containers: string[] = [];
  const node = (): VarveNode => {
    if (started === undefined) throw new Error('containerd or the snapshotter did not start');
    return started;
  };
  before(async () => {
    if ('missing' in client) return;
    started = await VarveNode.start({ prefix: 'c-', client, cri: { sandboxImage } });
    await importSandboxImage(started);
    const registry = await startRegistry(join(started.scratch.path, 'registry'));
    started.scratch.defer(registry.stop);
    reference = await registry.push(await started.image(kind));
    cri = criOf(started, client);
  });
  after(() => started?.scratch.dispose());
  const execute = (container: string, script: string): Promise<string> =>
    cri.crictl('exec', '--sync', container, 'sh', '-c', script);

  test('an image is pulled, and containers of a pod do not see what others write', async () => {
    await cri.crictl('pull', reference);
    pod = await cri.runPod('pod');
    for (const name of ['first', 'second']) {
      const command = ['sleep', '1000'];
      containers.push(await cri.runContainer(pod, { name, image: reference, command }));
    }
    const [first = '', second = ''] = containers;
    await execute(first, 'echo mine >/written; rm /data/replaced');
    assert.equal((await execute(first, 'cat /written')).trim(), 'mine');
    const seen = await execute(
      second,
      'cat /data/replaced; ls /written /data/gone 2>/dev/null; true',
    );
    assert.equal(seen.trim(), 'after');
    const { devices } = await node().state();
    const shared = kind === 'overlaybd' ? [['container', 'container']] : [];
    assert.deepEqual(
      devices.map(({ leases }) => leases.map(({ purpose }) => purpose)),
      shared,
    );
  });

  test('the image file system is where the layers are', async () => {
    const answer = await cri.crictl('imagefsinfo', '--output', 'json');
    assert.ok(answer.includes(node().root), answer);
  });

  test('kill -9 of the snapshotter: containers go on, and new ones start', async () => {
    await node().kill();
    await node().restart();
    const [first = ''] = containers;
    assert.equal((await execute(first, 'cat /written')).trim(), 'mine');
    const third = { name: 'third', image: reference, command: ['sleep', '1000'] };
    const id = await cri.runContainer(pod, third);
    containers.push(id);
    assert.equal((await execute(id, 'cat /data/replaced')).trim(), 'after');
  });

  test('images in use stay, others go, until nothing is left', async () => {
    await cri.crictl('rmi', '--prune');
    assert.ok((await cri.crictl('images', '--quiet')).trim() !== '', 'it is in use');
    for (const container of containers) await cri.crictl('rm', '--force', container);
    await cri.crictl('rmp', '--force', pod);
    await cri.crictl('rmi', '--prune');
    const images = (...argv: string[]): Promise<string> =>
      node().containerd.ctr('-n', criNamespace, 'images', ...argv);
    assert.doesNotMatch(await images('ls', '-q'), /sample/);
    // It is pinned: a pod may come at any time.
    await images('rm', '--sync', ...(await images('ls', '-q')).split('\n').filter(Boolean));
    await node().nothingLeft();
  });
}

for (const kind of ['ordinary', 'overlaybd'] as const) {
  const obstacle = kind === 'overlaybd' ? deviceObstacle() : undefined;
  const skip = 'missing' in client ? client.missing : (obstacle ?? false);
  describe(`CRI, ${kind} image`, { skip, timeout: 300_000 }, () => testsOf(kind));
}
