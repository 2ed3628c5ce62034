// A new device whose file system cannot be made: the program is missing, or refuses.
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BlockNode } from '../cli/block-node.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
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
    const folder = path.join(node.scratch.path, `programs-${Object.keys(scripts).length}`);
    mkdirSync(folder);
    symlinkSync('/bin/sh', path.join(folder, 'sh'));
    for (const [name, script] of Object.entries(scripts)) {
      writeFileSync(path.join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    return { PATH: folder };
  }

  async function assertFails(environment: Record<string, string>, says: RegExp): Promise<void> {
    await node.restart('SIGTERM', environment);
    const snapshotCount = readdirSync(path.join(node.root, 'snapshots')).length;
    assertRefused(await node.tryPrepare(box, '', labels), 'UNKNOWN', says);
    await assertWhy(node, box, says);
    await assertNothingAttached(node);
    assert.equal(readdirSync(path.join(node.root, 'snapshots')).length, snapshotCount);
  }

  test('whose program is missing: it is named, and nothing is left', async () => {
    await assertFails(programs({}), /ENOENT.*mkfs\.ext4 is not installed: install it/);
  });

  test('R-04: whose program refuses: what it said, and nothing is left', async () => {
    const refusing = programs({ 'mkfs.ext4': 'echo "mkfs.ext4: no such feature" >&2; exit 1' });
    await assertFails(refusing, /EIO.*mkfs\.ext4 failed: .*no such feature/);
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
