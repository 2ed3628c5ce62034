// File systems on devices of varve-bd: what is in layers is what was put there, as the kernel's own
// file systems read it; what they discard is given back; what they hold is written at the end.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import type { DeviceStats } from '../../src/cli/block-devices/documents.ts';
import {
  client,
  close,
  commitFormats,
  createUpper,
  hasProgram,
  loopsOf,
  open,
  skip,
  start,
  type UpperKind,
} from './block-daemon.ts';
import { contentOf, makeTree } from './file-tree.ts';
import { sha256, writeConfig } from './layer-tool.ts';
import { runProgram, scratchDirectory, until } from './scratch.ts';

function mount(device: string, target: string, ...options: readonly string[]): void {
  mkdirSync(target, { recursive: true });
  runProgram('mount', [...options, device, target]);
}

interface FileSystem {
  readonly name: string;
  readonly kind: UpperKind;
  readonly size: string;
  readonly program: string;
  /** Brings a tree onto the device. */
  readonly make: (device: string, tree: string, mountPoint: string) => void;
  readonly check: readonly string[];
}

const fileSystems: readonly FileSystem[] = [
  {
    name: 'ext4',
    kind: 'append-only',
    size: '96M',
    program: 'mkfs.ext4',
    make: (device, tree) => runProgram('mkfs.ext4', ['-q', '-F', '-d', tree, device]),
    check: ['e2fsck', '-f', '-n'],
  },
  {
    name: 'xfs',
    kind: 'sparse',
    // The least that mkfs.xfs makes is 300 MiB.
    size: '320M',
    program: 'mkfs.xfs',
    make: (device, tree, mountPoint) => {
      runProgram('mkfs.xfs', ['-q', '-f', device]);
      mount(device, mountPoint);
      runProgram('cp', ['-a', `${tree}/.`, mountPoint]);
      runProgram('umount', [mountPoint]);
    },
    check: ['xfs_repair', '-n'],
  },
  {
    name: 'erofs',
    kind: 'append-only',
    size: '96M',
    program: 'mkfs.erofs',
    make: (device, tree) => runProgram('mkfs.erofs', ['--quiet', '-zlz4', device, tree]),
    check: ['fsck.erofs'],
  },
];

for (const fileSystem of fileSystems) {
  const { name } = fileSystem;
  test(`${name} in layers reads as the tree that it was made from`, { skip }, async (t) => {
    if (!hasProgram(fileSystem.program)) return t.skip(`needs ${fileSystem.program}`);
    const directory = scratchDirectory(t);
    const daemon = await start(t, join(directory, 'run/bd.sock'));
    const bd = await client(t, daemon);
    const tree = join(directory, 'tree');
    const mountPoint = join(directory, 'mounted');
    makeTree(tree);
    const wanted = contentOf(tree);

    const upper = createUpper(directory, name, fileSystem.kind, fileSystem.size);
    const config = writeConfig(join(directory, `${name}.json`), { upper });
    const device = `${name}-made`;
    const made = await open(bd, config, device);
    fileSystem.make(made.path, tree, mountPoint);
    runProgram(fileSystem.check[0]!, [...fileSystem.check.slice(1), made.path]);
    for (const format of commitFormats) {
      const { algorithm, tar } = format;
      const output = join(directory, `layer-${algorithm}`);
      await bd.request('commit', { device, output, algorithm, tar });
    }
    assert.equal((await close(bd, device)).gone, true);

    for (const { name: format, algorithm } of commitFormats) {
      await t.test(format, async () => {
        const layer = { file: join(directory, `layer-${algorithm}`) };
        const reader = `${name}-${algorithm}`;
        const opened = await open(
          bd,
          writeConfig(join(directory, `${reader}.json`), { lowers: [layer] }),
          reader,
        );
        assert.equal(opened.readOnly, true);
        mount(opened.path, mountPoint, '--read-only');
        assert.deepEqual(contentOf(mountPoint), wanted);
        runProgram('umount', [mountPoint]);
        const stats = await bd.request<{ devices: DeviceStats[] }>('stats', { device: reader });
        const { read } = stats.devices[0]!.operations;
        assert.ok(read!.sizeBytes > 8 << 20, `${read!.sizeBytes} bytes came from the device`);
        assert.equal(read!.errorCount, 0);
        assert.equal((await close(bd, reader)).gone, true);
      });
    }
    assert.deepEqual(loopsOf(`${name}-`), []);
  });
}

const allocatedBytes = (path: string): number => statSync(path).blocks * 512;

/** A mounted ext4 on a sparse writable layer. */
async function mountedSparse(t: TestContext, ...options: readonly string[]) {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const upper = createUpper(directory, 'sparse', 'sparse', '96M');
  const config = writeConfig(join(directory, 'sparse.json'), { upper });
  const { path } = await open(bd, config, 'sparse');
  runProgram('mkfs.ext4', ['-q', '-F', '-E', 'nodiscard', path]);
  const mountPoint = join(directory, 'mounted');
  mount(path, mountPoint, ...options);
  const large = join(mountPoint, 'large');
  writeFileSync(large, randomBytes(32 << 20), { flush: true });
  return { daemon, bd, config, path, mountPoint, large, data: upper.data };
}

test('fstrim gives the space of deleted files back', { skip }, async (t) => {
  const { bd, mountPoint, large, data } = await mountedSparse(t);
  const kept = join(mountPoint, 'kept');
  writeFileSync(kept, randomBytes(4 << 20), { flush: true });
  const sum = sha256(readFileSync(kept));
  const full = allocatedBytes(data);
  assert.ok(full >= 36 << 20, `${full} bytes`);
  rmSync(large);
  runProgram('sync', ['--file-system', mountPoint]);
  assert.ok(allocatedBytes(data) > full - (4 << 20), 'nothing was given back before');
  runProgram('fstrim', [mountPoint]);
  assert.ok(allocatedBytes(data) < full - (28 << 20), `${allocatedBytes(data)} of ${full}`);
  runProgram('umount', [mountPoint]);
  const { path } = (await bd.request<{ devices: { path: string }[] }>('list')).devices[0]!;
  runProgram('e2fsck', ['-f', '-n', path]);
  mount(path, mountPoint);
  assert.equal(sha256(readFileSync(kept)), sum);
});

test('with the mount option discard a deleted file gives its space back', { skip }, async (t) => {
  const { mountPoint, large, data } = await mountedSparse(t, '-o', 'discard');
  const full = allocatedBytes(data);
  assert.ok(full >= 32 << 20, `${full} bytes`);
  rmSync(large);
  runProgram('sync', ['--file-system', mountPoint]);
  await until(() => allocatedBytes(data) < full - (28 << 20));
});

test('what a mounted file system has not written is written at the end', { skip }, async (t) => {
  const { daemon, config, path, mountPoint } = await mountedSparse(t);
  const late = join(mountPoint, 'late');
  const text = randomBytes(1 << 20);
  writeFileSync(late, text);
  assert.equal(await daemon.end('SIGTERM'), 0);
  assert.match(
    JSON.stringify(daemon.said(/ends while the device is in use/)),
    new RegExp(`it is mounted at ${mountPoint}`),
  );
  runProgram('umount', [mountPoint]);
  await until(() => loopsOf('sparse').length === 0);
  const next = await start(t, daemon.socket);
  const again = await open(await client(t, next), config, 'sparse');
  assert.match(path, /loop/);
  mount(again.path, mountPoint);
  assert.ok(readFileSync(late).equals(text));
});
