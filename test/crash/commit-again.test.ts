// A Commit that was not answered, or failed when it could not be undone any more, is called again:
// in the middle of sealing `varve serve` is killed as by kill -9, or a step behind it fails.
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { waitUntil } from '../e2e/lab/service.ts';
import { BlockNode, top } from '../cli/block-node.ts';
import {
  assertNothingAttached,
  assertRefused,
  assertRemoved,
  placeOf,
  writes,
} from '../faults/faulty-node.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { linkNativeFiles } from '../native/linked-folder.ts';

const skip = deviceObstacle() ?? false;

for (const writableLayerType of ['append', 'sparse'] as const) {
  describe(`Commit called again, ${writableLayerType}`, { skip, timeout: 240_000 }, () => {
    let node: BlockNode;

    before(async () => {
      node = await BlockNode.start({ lingerMs: 0, writableLayerType });
      await node.unpackLayers();
    });
    after(() => node?.scratch.dispose());

    async function prepareWritten(key: string): Promise<string> {
      await node.prepare(key, top, writes);
      const place = await placeOf(node, key);
      writeFileSync(path.join(place, 'written'), `${key}\n`);
      return path.dirname(place);
    }

    /** What was written is read through a device of the new layer. */
    async function assertCommitted(key: string, name: string): Promise<void> {
      const viewed = await node.tryView(`look-${name}`, name);
      assert.equal(viewed.code, status.OK, viewed.details);
      const place = viewed.value?.mounts?.[0]?.source ?? '';
      assert.equal(readFileSync(path.join(place, 'written'), 'utf8'), `${key}\n`);
      assert.equal(readFileSync(path.join(place, 'base'), 'utf8'), 'base\n');
      await assertRemoved(node, `look-${name}`);
      await assertRemoved(node, name);
      await assertNothingAttached(node);
    }

    test('succeeds while the command of a server that was killed works on the layer', async () => {
      const folder = path.join(node.scratch.path, 'native');
      const started = path.join(folder, 'started');
      const goOn = path.join(folder, 'go-on');
      const environment = linkNativeFiles(folder);
      const real = realpathSync(path.join(folder, 'varve-layer'));
      rmSync(path.join(folder, 'varve-layer'));
      // The first one that seals holds the layer until it is told to go on.
      const script = `#!/bin/sh
        if [ "$1" = commit ]; then
          echo >>'${started}'
          if [ ! -e '${started}-first' ]; then
            : >'${started}-first'
            flock "$3" sh -c 'while [ -d "$0" ] && [ ! -e "$1" ]; do sleep 0.05; done' \
              '${folder}' '${goOn}'
          fi
        fi
        exec '${real}' "$@"`;
      writeFileSync(path.join(folder, 'varve-layer'), script, { mode: 0o755 });
      const startedCount = (): number =>
        existsSync(started) ? readFileSync(started, 'utf8').length : 0;
      await node.restart('SIGTERM', environment);
      await prepareWritten('box');
      const unanswered = node.tryCommit('box', 'saved').catch(() => undefined);
      await waitUntil('the layer is being sealed', async () => existsSync(`${started}-first`));
      await node.restart('SIGKILL', environment);
      assert.notEqual((await unanswered)?.code, status.OK);
      let isAnswered = false;
      const repeated = node.tryCommit('box', 'saved').finally(() => (isAnswered = true));
      await waitUntil('it meets that command', async () => isAnswered || startedCount() > 2);
      writeFileSync(goOn, '');
      const { code, details } = await repeated;
      assert.equal(code, status.OK, details);
      await node.restart();
      await assertCommitted('box', 'saved');
    });

    test('succeeds after one that failed when the layer was sealed', async () => {
      const block = await prepareWritten('again');
      const config = path.join(block, 'config.v1.json');
      renameSync(config, `${config}-aside`);
      mkdirSync(path.join(config, 'in-the-way'), { recursive: true });
      assertRefused(await node.tryCommit('again', 'kept'), 'UNKNOWN', /write-image-config/);
      renameSync(config, `${config}-in-the-way`);
      renameSync(`${config}-aside`, config);
      await node.commit('again', 'kept');
      await assertCommitted('again', 'kept');
    });
  });
}
