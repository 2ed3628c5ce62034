// Docker Engine with containerd's image store and varve as its snapshotter: images of ordinary and
// of overlaybd layers loaded, run, committed, built upon, and removed until nothing is left; the
// daemons restarted in the middle of it.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { debianDocker, newDocker, type DockerClient } from '../e2e/lab/clients.ts';
import { startDocker, type Docker } from '../e2e/lab/docker.ts';
import type { Image } from '../e2e/lab/image.ts';
import { startRegistry } from '../e2e/lab/registry.ts';
import { linesOf, plugin, VarveNode, type LayerKind } from '../e2e/lab/varve-node.ts';

interface DockerNode {
  readonly varve: VarveNode;
  readonly engine: Docker;
  readonly image: Image;
  /** The image's name: that of the archive, or in the registry it is pulled from. */
  readonly reference: string;
  readonly kind: LayerKind;
  readonly client: DockerClient;
}

async function startNode(client: DockerClient, kind: LayerKind): Promise<DockerNode> {
  const settings = { runtimeType: 'docker' };
  const varve = await VarveNode.start({ prefix: 'd-', client, settings });
  try {
    const image = await varve.image(kind);
    const engine = await startDocker({
      directory: join(varve.scratch.path, 'd'),
      client,
      containerdAddress: varve.containerd.address,
      snapshotter: plugin,
      scratch: varve.scratch,
    });
    const reference = client.pulls ? await pushed(varve, image) : image.reference;
    return { varve, engine, image, reference, kind, client };
  } catch (error) {
    await varve.scratch.dispose();
    throw error;
  }
}

async function pushed({ scratch }: VarveNode, image: Image): Promise<string> {
  const registry = await startRegistry(join(scratch.path, 'registry'));
  scratch.defer(registry.stop);
  return registry.push(image);
}

const withoutNetwork = ['--network', 'none'];

const run = ({ engine }: DockerNode, ...argv: string[]): Promise<string> =>
  engine.docker('run', ...withoutNetwork, ...argv);

const execute = ({ engine }: DockerNode, name: string, script: string): Promise<string> =>
  engine.docker('exec', name, 'sh', '-c', script);

/** Two containers of one image, of which only the first writes. */
function testsOfContainers(node: () => DockerNode): void {
  test('the version is the one that is meant, on varve', async () => {
    const { engine, client } = node();
    const version = await engine.docker('version', '--format', '{{.Client.Version}}');
    const wanted = client.name.replace('Docker ', '');
    assert.ok(version.replace(/^v/, '').startsWith(`${wanted}.`), version);
    assert.equal((await engine.docker('info', '--format', '{{.Driver}}')).trim(), plugin);
  });

  test('an image is loaded or pulled, and a container prints what it holds', async () => {
    const { engine, image, reference, varve, kind, client } = node();
    if (client.pulls) await engine.docker('pull', '--quiet', reference);
    else await engine.docker('load', '--input', image.archivePath);
    const { snapshots, devices } = await varve.state();
    const backing = kind === 'overlaybd' ? 'localBlock' : 'directory';
    assert.deepEqual(
      snapshots.map((snapshot) => snapshot.backing),
      image.layers.map(() => backing),
    );
    assert.deepEqual(devices, [], 'an unpack attaches nothing');
    const script = 'cat /data/replaced /data/opaque/*; ls /data/gone* 2>/dev/null; echo end';
    const printed = await run(node(), '--rm', reference, 'sh', '-c', script);
    assert.deepEqual(linesOf(printed), ['after', 'shown', 'end']);
  });

  test('two containers do not see what the other writes, and share one device', async () => {
    const { reference, varve, kind } = node();
    for (const name of ['first', 'second']) {
      await run(node(), '--detach', '--name', name, reference, 'sleep', '1000');
    }
    await execute(node(), 'first', 'echo mine >/written; rm /data/replaced');
    const look = 'cat /data/replaced; ls /written 2>/dev/null; cat /etc/hostname';
    assert.equal(linesOf(await execute(node(), 'second', look))[0], 'after');
    const { snapshots, devices } = await varve.state();
    const roles = snapshots.map(({ role }) => role).filter((role) => role !== 'imageLayer');
    assert.deepEqual(roles.toSorted(), [
      ...['containerLayer', 'containerLayer'],
      ...['initLayer', 'initLayer'],
    ]);
    if (kind === 'ordinary') {
      assert.deepEqual(devices, []);
      return;
    }
    assert.deepEqual(
      devices.map(({ leases }) => leases.map(({ purpose }) => purpose).toSorted()),
      [['container', 'container', 'initLayer', 'initLayer']],
    );
    assert.equal((await varve.attachedDevices()).length, 1);
  });

  test('`docker diff` tells what a container changed, and nothing else', async () => {
    const changes = linesOf(await node().engine.docker('diff', 'first'));
    assert.deepEqual(changes.toSorted(), ['A /written', 'C /data', 'D /data/replaced']);
    assert.deepEqual(linesOf(await node().engine.docker('diff', 'second')), []);
  });
}

/** Whatever dies, containers run on, and can be stopped and started again. */
function testsOfRestarts(node: () => DockerNode): void {
  const check = async (): Promise<void> => {
    assert.equal((await execute(node(), 'first', 'cat /written')).trim(), 'mine');
    assert.equal((await execute(node(), 'second', 'cat /data/replaced')).trim(), 'after');
  };

  for (const how of ['stop', 'kill'] as const) {
    test(`the Docker daemon is restarted after a ${how}`, async () => {
      const { engine } = node();
      await engine.halt(how);
      await engine.resume();
      await check();
    });
  }

  for (const runtimeType of ['containerd', 'docker']) {
    test(`kill -9 of the snapshotter, which is ${runtimeType}’s then`, async () => {
      const { varve, engine, reference } = node();
      await varve.kill();
      await varve.restart({ runtimeType });
      await check();
      await engine.docker('restart', '--time', '0', 'first', 'second');
      await check();
      const printed = await run(node(), '--rm', reference, 'cat', '/data/replaced');
      assert.equal(printed.trim(), 'after');
    });
  }
}

/** Images made of containers, and of a Dockerfile. */
function testsOfImages(node: () => DockerNode): void {
  test('a container is committed, and the image runs', async () => {
    const { engine } = node();
    await engine.docker('commit', 'first', 'committed');
    const look = 'cat /written; ls /data/replaced 2>/dev/null; cat /data/opaque/shown';
    const printed = await run(node(), '--rm', 'committed', 'sh', '-c', look);
    assert.deepEqual(linesOf(printed), ['mine', 'shown']);
  });

  test('an image is built upon it: commands, copies, and several stages', async () => {
    const { engine, reference, varve } = node();
    const folder = join(varve.scratch.path, 'context');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'copied'), 'copied\n');
    const dockerfile = [
      `FROM ${reference} AS first`,
      'RUN echo made >/made && rm /data/big',
      `FROM ${reference}`,
      'COPY --from=first /made /data/made',
      'COPY copied /data/copied',
      'RUN cat /data/made /data/copied >/data/both && rm -r /data/opaque',
    ];
    writeFileSync(join(folder, 'Dockerfile'), `${dockerfile.join('\n')}\n`);
    await engine.docker('build', ...withoutNetwork, '--tag', 'built', folder);
    const look = 'cat /data/both; ls -d /data/opaque 2>/dev/null; wc -c </data/big';
    const printed = await run(node(), '--rm', 'built', 'sh', '-c', look);
    assert.deepEqual(linesOf(printed), ['made', 'copied', String(2 << 20)]);
  });
}

function testsOfRemoval(node: () => DockerNode): void {
  test('nothing is left when containers, images and the builder’s cache are removed', async () => {
    const { engine, reference, varve } = node();
    await engine.docker('rm', '--force', 'first', 'second');
    await engine.docker('rmi', '--force', 'committed', 'built', reference);
    await engine.docker('builder', 'prune', '--all', '--force');
    await varve.nothingLeft();
    assert.equal(linesOf(await engine.docker('images', '--all', '--quiet')).length, 0);
  });
}

const isLong = process.env['VARVE_LONG'] === '1';
for (const client of [await debianDocker(), ...(isLong ? [await newDocker()] : [])]) {
  for (const kind of ['ordinary', 'overlaybd'] as const) {
    const obstacle = kind === 'overlaybd' ? deviceObstacle() : undefined;
    const skip = 'missing' in client ? client.missing : (obstacle ?? false);
    describe(`${client.name}, ${kind} image`, { skip, timeout: 300_000 }, () => {
      let started: DockerNode | undefined;
      const node = (): DockerNode => {
        if (started === undefined) throw new Error('Docker or the snapshotter did not start');
        return started;
      };
      before(async () => {
        if ('buildx' in client) started = await startNode(client, kind);
      });
      after(() => started?.varve.scratch.dispose());

      testsOfContainers(node);
      testsOfRestarts(node);
      testsOfImages(node);
      testsOfRemoval(node);
    });
  }
}
