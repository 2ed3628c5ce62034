// A new device whose file system cannot be made: the program is missing, or refuses.
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BlockNode } from '../cli/block-node.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { linkNativeFiles } from '../native/linked-folder.ts';
import {
  assertNothingAttached,
  assertRefused,
  assertRemoved,
  assertWhy,
  failuresOf,
  writes,
} from './faulty-node.ts';

const box = 'default/3/box';
const labels = { ...writes, 'containerd.io/snapshot/overlaybd/vsize': '1' };

describe('a new file system', { skip: deviceObstacle() ?? false, timeout: 120_000 }, () => {
  let node: BlockNode;

  before(async () => {
    node = await BlockNode.start({ lingerMs: 0 });
  });
  after(() => node?.scratch.dispose());

  /** Programs in place of the machine's; none but these. */
  function programs(scripts: Readonly<Record<string, string>>): Record<string, string> {
    const folder = mkdtempSync(path.join(node.scratch.path, 'programs-'));
    symlinkSync('/bin/sh', path.join(folder, 'sh'));
    for (const [name, script] of Object.entries(scripts)) {
      writeFileSync(path.join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    return { PATH: folder };
  }

  async function assertFails(code: string, says: RegExp, fileSystem = 'ext4'): Promise<void> {
    const snapshotCount = readdirSync(path.join(node.root, 'snapshots')).length;
    const asked = { ...labels, 'containerd.io/snapshot/overlaybd/blob-fs-type': fileSystem };
    assertRefused(await node.tryPrepare(box, '', asked), code, says);
    await assertWhy(node, box, says);
    await assertNothingAttached(node);
    await waitUntil(
      'its directory is gone',
      async () => readdirSync(path.join(node.root, 'snapshots')).length === snapshotCount,
    );
  }

  test('whose program is missing: it and its package are named, and nothing is left', async () => {
    const assertMissing = (program: string, where: string, fileSystem?: string): Promise<void> => {
      const says = `${program} is not installed: install the package ${where}, or choose another`;
      return assertFails('FAILED_PRECONDITION', new RegExp(says), fileSystem);
    };
    await node.restart('SIGTERM', programs({}));
    await assertMissing('mkfs.ext4', 'e2fsprogs');
    await assertMissing('mkfs.xfs', 'xfsprogs', 'xfs');
    await assertMissing('mkfs.f2fs', 'f2fs-tools', 'f2fs');
    await assertMissing('mkfs.ntfs', 'ntfs-3g', 'ntfs');
    await node.restart('SIGTERM', programs({ 'mkfs.ext4': 'exit 0' }));
    await assertMissing('debugfs', 'e2fsprogs');
  });

  test('R-04: whose program refuses: what it said, and nothing is left', async () => {
    const refusing = programs({ 'mkfs.ext4': 'echo "mkfs.ext4: no such feature" >&2; exit 1' });
    await node.restart('SIGTERM', refusing);
    await assertFails('UNKNOWN', /EIO.*mkfs\.ext4 failed: .*no such feature/);
    // As this one does.
    await node.restart('SIGTERM', programs({ 'mkfs.f2fs': 'echo " Error: no"; echo; exit 1' }));
    await assertFails('UNKNOWN', /EIO.*mkfs\.f2fs failed: Error: no/, 'f2fs');
  });

  test('on a layer that cannot be made, for varve’s own program is missing: it is named', async () => {
    const folder = path.join(node.scratch.path, 'native');
    const environment = linkNativeFiles(folder);
    await node.restart('SIGTERM', environment);
    rmSync(path.join(folder, 'varve-layer'));
    const says = /varve-layer is not there: install the package of varve again/;
    assertRefused(await node.tryPrepare(box, '', labels), 'FAILED_PRECONDITION', says);
    await assertNothingAttached(node);
  });

  test('works when the program does', async () => {
    await node.restart();
    await node.prepare(box, '', labels);
    const { stdout } = await node.ask('devices', '--json');
    const [device] = (JSON.parse(stdout) as { devices: { mountPoint: string; id: number }[] })
      .devices;
    assert.ok(existsSync(device?.mountPoint ?? ''));
    assert.deepEqual(readdirSync(device?.mountPoint ?? ''), []);
    assert.deepEqual(await failuresOf(node, `device-${device?.id}`), []);
    await assertRemoved(node, box);
    await assertNothingAttached(node);
  });
});
