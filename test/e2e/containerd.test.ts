// Real containerds with the snapshotter as their proxy plugin: images come in, containers run, and
// at the end nothing is left. VARVE_SERVE names another snapshotter command than bin/varve.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { debianContainerd, newContainerd, type Client } from './lab/clients.ts';
import type { Image } from './lab/image.ts';
import { startRegistry } from './lab/registry.ts';
import { mountsBelow } from './lab/scratch.ts';
import { waitUntil } from './lab/service.ts';
import { expectedTree, foundTree, treeDifferences } from './lab/tree.ts';
import { linesOf, plugin, VarveNode, type RecordedEvent } from './lab/varve-node.ts';

const checkout = resolve(import.meta.dirname, '../..');
const command = resolve(process.env['VARVE_SERVE'] ?? join(checkout, 'bin/varve'));
const isVarve = basename(command) === 'varve';

/** One snapshotter and one containerd on it, with an image to use. */
interface Node {
  readonly varve: VarveNode;
  readonly image: Image;
}

async function startNode(client: Client): Promise<Node> {
  const prefix = 'varve-e2e-';
  // Ordinary layers need no varve-bd.
  const varve = await VarveNode.start({ prefix, client, command, hasBlockDaemon: false });
  try {
    return { varve, image: await varve.image('ordinary', 3) };
  } catch (error) {
    await varve.scratch.dispose();
    throw error;
  }
}

const chainIds = (image: Image): readonly string[] => image.layers.map(({ chainId }) => chainId);

async function snapshotRows({ varve }: Node): Promise<readonly (readonly string[])[]> {
  return linesOf(await varve.snapshots('ls'))
    .slice(1)
    .map((row) => row.trim().split(/\s+/));
}

/** Compares every file of an image, seen through a mount of its top layer, with its layers. */
async function checkContent({ varve, image }: Node, reference: string): Promise<void> {
  const { containerd, scratch } = varve;
  const target = join(scratch.path, 'mounted');
  mkdirSync(target, { recursive: true });
  await containerd.ctr('images', 'mount', '--snapshotter', plugin, reference, target);
  try {
    const expected = expectedTree(image.layers.map(({ entries }) => entries));
    assert.deepEqual(treeDifferences(expected, foundTree(target)), []);
  } finally {
    await containerd.ctr('images', 'unmount', '--rm', '--snapshotter', plugin, target);
  }
}

async function checkNothingLeft(node: Node, reference: string): Promise<void> {
  const { varve } = node;
  await varve.containerd.ctr('images', 'rm', '--sync', reference);
  const layers = join(varve.root, 'snapshots');
  await waitUntil('no snapshot and no layer on disk', async () => {
    const isEmpty = !existsSync(layers) || readdirSync(layers).length === 0;
    return isEmpty && (await snapshotRows(node)).length === 0;
  });
  assert.equal((await varve.containerd.ctr('content', 'ls', '-q')).trim(), '');
  assert.deepEqual(mountsBelow(varve.root), []);
  if (isVarve) await varve.nothingLeft();
}

function testsOfImport(node: () => Node): void {
  test('an import makes one committed snapshot for each layer, in a chain', async () => {
    const { image, varve } = node();
    await varve.import(image);
    const ids = chainIds(image);
    const rows = new Map((await snapshotRows(node())).map((row) => [row[0], row.slice(1)]));
    assert.equal(rows.size, ids.length);
    for (const [index, id] of ids.entries()) {
      const parent = index === 0 ? [] : [ids[index - 1]];
      assert.deepEqual(rows.get(id), [...parent, 'Committed']);
    }
  });

  test('an import of the same image again changes nothing', async () => {
    const before = await snapshotRows(node());
    const { image, varve } = node();
    await varve.import(image);
    assert.deepEqual(await snapshotRows(node()), before);
  });

  test('every file of an imported image is what its layers say', async () => {
    await checkContent(node(), node().image.reference);
  });
}

function testsOfContainers(node: () => Node): void {
  test('a container runs and prints what its image holds', async () => {
    const script = 'cat /data/replaced /data/opaque/*; ls /data/gone* 2>/dev/null; echo end';
    const printed = await node().varve.runOnce(node().image.reference, script);
    assert.deepEqual(linesOf(printed), ['after', 'shown', 'end']);
    assert.equal((await snapshotRows(node())).length, node().image.layers.length);
  });

  test('two containers of one image do not see what the other writes', async () => {
    const { image, varve } = node();
    await varve.startContainer(image, 'first');
    await varve.startContainer(image, 'second');
    await varve.execute('first', 'echo first >/written; rm /data/replaced; echo x >>/data/big');
    await varve.execute('second', 'echo second >/written');
    const look = 'cat /written; cat /data/replaced 2>/dev/null; wc -c </data/big';
    const size = 2 << 20;
    assert.deepEqual(linesOf(await varve.execute('first', look)), ['first', `${size + 2}`]);
    const second = linesOf(await varve.execute('second', look));
    assert.deepEqual(second, ['second', 'after', `${size}`]);
  });
}

function testsOfSnapshotCommands(node: () => Node): void {
  test('`ctr snapshots ls` and `tree` show both containers on the top layer', async () => {
    const top = chainIds(node().image).at(-1) ?? '';
    const rows = await snapshotRows(node());
    for (const name of ['first', 'second']) {
      assert.deepEqual(
        rows.find((row) => row[0] === name),
        [name, top, 'Active'],
      );
    }
    const tree = await node().varve.snapshots('tree');
    for (const name of ['first', 'second', ...chainIds(node().image)]) {
      assert.ok(tree.includes(name), `${name} is not in the tree:\n${tree}`);
    }
  });

  test('`ctr snapshots info` tells kind, parent and times', async () => {
    const info = JSON.parse(await node().varve.snapshots('info', 'first')) as Record<
      string,
      string
    >;
    assert.equal(info['Kind'], 'Active');
    assert.equal(info['Name'], 'first');
    assert.equal(info['Parent'], chainIds(node().image).at(-1));
    assert.ok(Math.abs(Date.parse(info['Created'] ?? '') - Date.now()) < 600_000);
  });

  test('`ctr snapshots usage` counts what a container wrote, and a layer holds', async () => {
    const usage = new Map<string, number>();
    for (const line of linesOf(await node().varve.snapshots('usage', '-b')).slice(1)) {
      const [key = '', size = ''] = line.trim().split(/\s+/);
      usage.set(key, Number(size));
    }
    // The first container appended to a file of 2 MiB, which copied it up.
    assert.ok((usage.get('first') ?? 0) >= 2 << 20, `first: ${usage.get('first')}`);
    assert.ok((usage.get('second') ?? 0) < 1 << 20, `second: ${usage.get('second')}`);
    assert.ok((usage.get(chainIds(node().image)[1] ?? '') ?? 0) >= 2 << 20);
  });

  test('`ctr snapshots mounts` prints an overlay mount whose directories exist', async () => {
    const printed = await node().varve.snapshots('mounts', '/target', 'first');
    assert.match(printed, /-t overlay/);
    const directories = [...printed.matchAll(/(?:lowerdir|upperdir|workdir)=([^,\s]+)/g)]
      .flatMap((match) => (match[1] ?? '').split(':'))
      .map((directory) => resolve('/', directory));
    assert.equal(directories.length, node().image.layers.length + 2);
    for (const directory of directories) assert.ok(existsSync(directory), directory);
  });

  test('`ctr snapshots diff` holds what a container changed and nothing else', async () => {
    const options = ['--snapshotter', plugin, 'diff', 'first'];
    const packed = await node().varve.containerd.ctrBinary('snapshots', ...options);
    const tar = gunzipSync(packed).toString('latin1');
    for (const path of ['written', 'data/.wh.replaced', 'data/big']) {
      assert.ok(tar.includes(path), `${path} is not in the diff`);
    }
    assert.ok(!tar.includes('data/small'), 'the diff holds what did not change');
  });
}

function testsOfRemoval(node: () => Node): void {
  test('nothing is left when containers and image are removed', async () => {
    await node().varve.removeContainer('first');
    await node().varve.removeContainer('second');
    await checkNothingLeft(node(), node().image.reference);
  });
}

/** Layers unpacked at the same time have no parent until they are committed. */
function checkUnpackedInParallel(events: readonly RecordedEvent[], layerCount: number): void {
  const parentsOf = (type: string): readonly string[] =>
    events.filter((event) => event.type === type).map(({ data }) => data.parent ?? '');
  assert.deepEqual(
    parentsOf('SnapshotPrepared'),
    Array.from({ length: layerCount }, () => ''),
  );
  const firstCommit = events.findIndex(({ type }) => type === 'SnapshotCommitStarted');
  const before = events.slice(0, firstCommit).filter(({ type }) => type === 'SnapshotPrepared');
  assert.ok(before.length > 1, `${before.length} prepared before the first commit`);
  const adopted = parentsOf('SnapshotCommitStarted').filter((parent) => parent !== '');
  assert.equal(adopted.length, layerCount - 1);
}

function testsOfParallelPull(node: () => Node): void {
  test('a pull with parallel unpack gives what the layers say, and leaves nothing', async () => {
    const { varve, image } = node();
    const registry = await startRegistry(join(varve.scratch.path, 'registry'));
    try {
      const reference = await registry.push(image);
      const options = ['--plain-http', '--snapshotter', plugin];
      const earlier = isVarve ? await varve.events() : [];
      await varve.containerd.ctr('images', 'pull', ...options, reference);
      if (isVarve) {
        const events = (await varve.events()).slice(earlier.length);
        checkUnpackedInParallel(events, chainIds(image).length);
      }
      assert.deepEqual(
        (await snapshotRows(node())).map(([name]) => name).sort(),
        chainIds(image).toSorted(),
      );
      await checkContent(node(), reference);
      const script = 'cat /data/replaced; ls /data/opaque; ls -d /data/gone*; echo end';
      const printed = await varve.runOnce(reference, `{ ${script}; } 2>/dev/null`);
      assert.deepEqual(linesOf(printed), ['after', 'shown', 'end']);
      await checkNothingLeft(node(), reference);
    } finally {
      await registry.stop();
    }
  });
}

for (const client of [await debianContainerd(), await newContainerd()]) {
  const skip = 'missing' in client ? client.missing : false;
  describe(client.name, { skip, timeout: 300_000 }, () => {
    let started: Node | undefined;
    const node = (): Node => {
      if (started === undefined) throw new Error('containerd or the snapshotter did not start');
      return started;
    };
    before(async () => {
      if ('programDirectories' in client) started = await startNode(client);
    });
    after(() => started?.varve.scratch.dispose());

    test('the version is the one that is meant', () => {
      assert.ok(node().varve.containerd.version.startsWith(client.name.replace('containerd ', '')));
    });
    testsOfImport(node);
    testsOfContainers(node);
    testsOfSnapshotCommands(node);
    testsOfRemoval(node);
    if (client.name === 'containerd 2.4') testsOfParallelPull(node);
  });
}
