// varve attach and varve detach with a real device: what they print, that it lasts over restarts,
// and who may call them.
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { mountsBelow } from '../e2e/lab/scratch.ts';
import { startService, waitUntil } from '../e2e/lab/service.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { base, BlockNode, top } from './block-node.ts';
import { varve } from './varve.ts';

describe('varve attach and detach', { skip: deviceObstacle() ?? false }, () => {
  let node: BlockNode;
  const mountPoint = (): string => path.join(node.root, 'snapshots', '2', 'block', 'mountpoint');

  before(async () => {
    node = await BlockNode.start();
    await node.unpackLayers();
  });
  after(() => node?.scratch.dispose());

  test('attach prints the device and its mountpoint, where the layer can be read', async () => {
    const { code, stdout, stderr } = await node.ask('attach', top);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    const [device = '', place = ''] = stdout.trimEnd().split('  ');
    assert.ok(statSync(device).isBlockDevice());
    assert.equal(place, mountPoint());
    assert.equal(readFileSync(path.join(place, 'top'), 'utf8'), 'top\n');
    assert.equal(readFileSync(path.join(place, 'base'), 'utf8'), 'base\n');
  });

  test('it is there again after kill -9 of both daemons', async () => {
    await node.restartBlockDaemon();
    await node.restart('SIGKILL');
    const again = await node.json<{ wasAttached: boolean; path: string }>('attach', '#2');
    assert.equal(again.wasAttached, true);
    assert.equal(readFileSync(path.join(mountPoint(), 'top'), 'utf8'), 'top\n');
  });

  test('detach says who uses it still', async () => {
    await node.prepare('default/3/box', top);
    const { code, stdout } = await node.ask('detach', top);
    assert.equal(code, 0);
    assert.match(stdout, /^The device of #2 is given back; it stays for those who lease it:\n/);
    assert.match(stdout, /^ {2}container default\/3\/box \(#\d+\)$/m);
    assert.equal(readFileSync(path.join(mountPoint(), 'top'), 'utf8'), 'top\n');
    await node.ask('attach', top);
    assert.equal((await node.remove('default/3/box')).code, 0);
  });

  test('somebody who sits in it is named, and nothing is left when he has gone', async () => {
    const sitter = startService({
      name: 'sitter',
      argv: ['sh', '-c', 'cd "$0" && exec sleep 1000', mountPoint()],
      logPath: path.join(node.scratch.path, 'sitter.log'),
    });
    try {
      await waitUntil('it sits there', async () => {
        return readlinkSync(`/proc/${sitter.pid}/cwd`) === mountPoint();
      });
      const refused = await node.ask('detach', top);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /given back, but its device is still there.*EBUSY/);
    } finally {
      await sitter.kill();
    }
    let said = '';
    await waitUntil('it is detached', async () => {
      const { code, stdout } = await node.ask('detach', top);
      said = stdout;
      return code === 0;
    });
    assert.match(said, /^No operator has the device of #2 attached; it is detached\.$/m);
    assert.deepEqual(mountsBelow(node.root), []);
    const { devices } = await node.json<{ devices: unknown[] }>('devices');
    assert.deepEqual(devices, []);
  });

  test('the history says that an operator did it', async () => {
    const { stdout } = await node.ask('events', '--stream', 'device-2');
    assert.match(stdout, /An operator's Attach \(request [^)]+\) leased it for an operator, #2/);
    assert.match(stdout, /An operator's Detach \(request [^)]+\) gave back the lease of #2/);
  });

  test('what has no device is refused', async () => {
    const missing = await node.ask('attach', 'default/7/none');
    assert.equal(missing.code, 4);
    assert.match(missing.stderr, /does not exist: varve ls lists them/);
    await node.prepare('default/4/box', base);
    const refused = await node.ask('attach', 'default/4/box');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /not a block layer.*default\/1\/sha256:base/);
  });

  test('who may not use the socket may not attach', async () => {
    const runDirectory = path.dirname(node.daemon.address);
    assert.equal(statSync(path.join(runDirectory, 'admin.sock')).mode & 0o777, 0o600);
    chmodSync(node.scratch.path, 0o755);
    chmodSync(runDirectory, 0o755);
    const args = ['attach', top, '--address', node.daemon.address];
    const refused = await varve(args, { uid: 65534 });
    assert.equal(refused.code, 9);
    assert.match(refused.stderr, /permission denied/);
  });
});
