// The disk fills while a writable layer is committed: the commit fails with its reason, what was
// written stays, and the same commit succeeds once there is room.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { runCommand } from '../e2e/lab/command.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { BlockNode, top } from '../cli/block-node.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { fillDisk } from '../server/small-disk.ts';
import { assertNothingAttached, assertRemoved, assertWhy, placeOf, writes } from './faulty-node.ts';

const box = 'default/3/box';
const saved = 'default/4/saved';

describe(
  'a disk that fills during a commit',
  {
    skip: deviceObstacle() ?? false,
    timeout: 120_000,
  },
  () => {
    let node: BlockNode;

    before(async () => {
      node = await BlockNode.start({ lingerMs: 0 }, async ({ path: scratch }) => {
        const root = path.join(scratch, 'root');
        mkdirSync(root);
        const image = path.join(scratch, 'image');
        await runCommand(['truncate', '--size=400M', image]);
        await runCommand(['mkfs.ext4', '-q', image]);
        await runCommand(['mount', '-o', 'loop', image, root]);
      });
      await node.unpackLayers();
    });
    after(() => node?.scratch.dispose());

    test('fails it with its reason; what was written stays, and is committed later', async (t) => {
      await node.prepare(box, top, writes);
      const place = await placeOf(node, box);
      const script = 'dd if=/dev/urandom of=big bs=1M count=8 status=none; cksum big; sync -f big';
      const sum = await runCommand(['sh', '-ec', `cd "$0"; ${script}`, place]);

      // The commit stands still in the middle: what its device has not yet written finds no room.
      const { pid } = node.blockDaemon.service;
      process.kill(pid, 'SIGSTOP');
      t.after(() => void process.kill(pid, 'SIGCONT'));
      const committing = node.tryCommit(box, saved);
      await waitUntil('the commit is under way', async () =>
        (await node.ask('why', box)).stdout.includes('asked to commit'),
      );
      const filler = await fillDisk(t, path.join(node.root, 'filler'));
      process.kill(pid, 'SIGCONT');
      const { code, details } = await committing;
      assert.notEqual(code, status.OK);
      assert.match(details, /could not be committed: /);
      await assertWhy(node, box, /The commit failed/);

      await filler.end();
      await filler.clear();
      await waitUntil(
        'there is room again',
        async () => (await node.tryCommit(box, saved)).code === 0,
      );
      await node.prepare('default/5/on', saved, writes);
      const next = await placeOf(node, 'default/5/on');
      assert.equal(await runCommand(['sh', '-ec', 'cd "$0"; cksum big', next]), sum);
      assert.equal(readFileSync(path.join(next, 'top'), 'utf8'), 'top\n');
      await assertRemoved(node, 'default/5/on');
      await assertRemoved(node, saved);
      await assertNothingAttached(node);
    });

    test('fails it, too, when the layer would lack what found no room', async (t) => {
      await node.prepare(box, top, writes);
      const place = await placeOf(node, box);
      const filler = await fillDisk(t, path.join(node.root, 'filler'));
      writeFileSync(path.join(place, 'big'), Buffer.alloc(8 << 20, 'what finds no room '));
      const { code, details } = await node.tryCommit(box, saved);
      assert.notEqual(code, status.OK);
      assert.match(details, /could not be committed: syncfs/);
      await assertWhy(node, box, /The commit failed/);
      await filler.end();
      await filler.clear();
      await assertRemoved(node, box);
      await assertNothingAttached(node);
    });
  },
);
