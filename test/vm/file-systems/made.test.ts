// File systems that not every machine can mount: made on a new device, written, committed, read
// through a view, by a container above it, and by one that writes a device of its own.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { BlockNode } from '../../cli/block-node.ts';
import { runCommand, tryCommand } from '../../e2e/lab/command.ts';
import { directoryInPath } from '../../e2e/lab/debian-packages.ts';
import { assertNothingAttached, assertRemoved, placeOf, writes } from '../../faults/faulty-node.ts';
import { machineVariable } from '../inside.ts';

const content = Buffer.alloc(5 << 20, 'content of a file ');
const fileSystemLabel = 'containerd.io/snapshot/overlaybd/blob-fs-type';

/** What the kernel has as a module, and Debian as a program. */
const fileSystems = [
  { name: 'f2fs', type: 'f2fs', program: 'mkfs.f2fs' },
  { name: 'ntfs', type: 'ntfs3', program: 'mkfs.ntfs' },
];

async function obstacle(type: string, program: string): Promise<string | false> {
  if (process.env[machineVariable] === undefined) return 'runs in the virtual machine';
  if (directoryInPath(program) === undefined) return `needs ${program}`;
  const { status: found } = await tryCommand(['/sbin/modprobe', type]);
  return found === 0 ? false : `this kernel has no ${type}`;
}

for (const { name, type, program } of fileSystems) {
  const skip = await obstacle(type, program);
  test(`a new device with ${name} becomes a layer that is read`, { skip }, async (t) => {
    const node = await BlockNode.start({ lingerMs: 0, defaultFsType: name });
    t.after(() => node.scratch.dispose());
    const typeOf = async (place: string): Promise<string> =>
      (await runCommand(['findmnt', '-n', '-o', 'FSTYPE', place])).trim();
    const labels = { ...writes, 'containerd.io/snapshot/overlaybd/vsize': '1' };
    await node.prepare('new', '', labels);
    const made = await placeOf(node, 'new');
    assert.equal(await typeOf(made), type);
    mkdirSync(join(made, 'folder'));
    writeFileSync(join(made, 'folder/file'), content, { flush: true });
    await node.commit('new', 'default/1/layer');

    const viewed = await node.tryView('look', 'default/1/layer');
    assert.equal(viewed.code, status.OK, viewed.details);
    const seen = viewed.value?.mounts?.[0]?.source ?? '';
    assert.equal(await typeOf(seen), type);
    assert.ok(readFileSync(join(seen, 'folder/file')).equals(content));
    assert.throws(() => writeFileSync(join(seen, 'more'), ''), { code: 'EROFS' });

    const above = await node.tryPrepare('above', 'default/1/layer');
    assert.equal(above.code, status.OK, above.details);
    const options = above.value?.mounts?.[0]?.options ?? [];
    const root = join(node.scratch.path, 'mounted');
    mkdirSync(root);
    await runCommand(['mount', '-t', 'overlay', 'overlay', '-o', options.join(','), root]);
    writeFileSync(join(root, 'folder/file'), 'added', { flag: 'a' });
    assert.equal(readFileSync(join(root, 'folder/file')).length, content.length + 5);
    await runCommand(['umount', root]);

    await node.prepare('own', 'default/1/layer', { ...writes, [fileSystemLabel]: name });
    const own = await placeOf(node, 'own');
    assert.equal(await typeOf(own), type);
    writeFileSync(join(own, 'own'), 'own\n');
    await node.commit('own', 'default/2/own');
    const again = await node.tryView('look-own', 'default/2/own');
    const found = again.value?.mounts?.[0]?.source ?? '';
    assert.equal(readFileSync(join(found, 'own'), 'utf8'), 'own\n');
    assert.ok(readFileSync(join(found, 'folder/file')).equals(content));

    for (const key of ['look', 'above', 'look-own', 'default/2/own', 'default/1/layer']) {
      await assertRemoved(node, key);
    }
    await assertNothingAttached(node);
  });
}
