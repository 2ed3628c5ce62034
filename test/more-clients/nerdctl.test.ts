// nerdctl on containerd 2.4 and varve: run, commit, diff, removal.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { nerdctl as builtNerdctl, type Client } from '../e2e/lab/clients.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { namespaceOfRun, programEnvironment } from '../e2e/lab/containerd.ts';
import type { Image } from '../e2e/lab/image.ts';
import { linesOf, plugin, VarveNode, type LayerKind } from '../e2e/lab/varve-node.ts';

const limitMs = 120_000;

function nerdctlOn(node: VarveNode, client: Client): (...argv: string[]) => Promise<string> {
  const at = (name: string): string => join(node.scratch.path, 'n', name);
  const options = [
    ...['--address', node.containerd.address, '--namespace', namespaceOfRun()],
    ...['--snapshotter', plugin, '--data-root', at('data'), '--cgroup-manager', 'cgroupfs'],
    ...['--cni-netconfpath', at('cni'), '--hosts-dir', at('hosts')],
  ];
  const env = programEnvironment(client.programDirectories);
  return (...argv) => runCommand(['nerdctl', ...options, ...argv], { env, limitMs });
}

const client = await builtNerdctl();

function testsOf(kind: LayerKind): void {
  let started: VarveNode | undefined;
  let image: Image;
  let nerdctl: (...argv: string[]) => Promise<string>;
  before(async () => {
    if ('missing' in client) return;
    started = await VarveNode.start({ prefix: 'n-', client });
    nerdctl = nerdctlOn(started, client);
    image = await started.image(kind);
  });
  after(() => started?.scratch.dispose());
  const withoutNetwork = ['--network', 'none'];

  test('an image is loaded, and a container runs and prints what it holds', async () => {
    await nerdctl('load', '--input', image.archivePath);
    const script = 'cat /data/replaced /data/opaque/*; ls /data/gone* 2>/dev/null; echo end';
    const run = ['run', '--rm', ...withoutNetwork, image.reference];
    assert.deepEqual(linesOf(await nerdctl(...run, 'sh', '-c', script)), ['after', 'shown', 'end']);
  });

  test('what a container changes is told, committed, and runs', async () => {
    const run = ['run', '--detach', ...withoutNetwork, '--name', 'first', image.reference];
    await nerdctl(...run, 'sleep', '1000');
    await nerdctl('exec', 'first', 'sh', '-c', 'echo mine >/written; rm /data/replaced');
    const changes = linesOf(await nerdctl('diff', 'first'));
    for (const change of ['A /written', 'D /data/replaced']) {
      assert.ok(changes.includes(change), changes.join('\n'));
    }
    await nerdctl('commit', 'first', 'committed');
    const look = 'cat /written; ls /data/replaced 2>/dev/null; cat /data/opaque/shown';
    const again = ['run', '--rm', ...withoutNetwork, 'committed', 'sh', '-c', look];
    assert.deepEqual(linesOf(await nerdctl(...again)), ['mine', 'shown']);
  });

  test('nothing is left when containers and images are removed', async () => {
    await nerdctl('rm', '--force', 'first');
    await nerdctl('rmi', '--force', 'committed', image.reference);
    await started?.nothingLeft();
  });
}

for (const kind of ['ordinary', 'overlaybd'] as const) {
  const obstacle = kind === 'overlaybd' ? deviceObstacle() : undefined;
  const skip = 'missing' in client ? client.missing : (obstacle ?? false);
  describe(`nerdctl, ${kind} image`, { skip, timeout: 300_000 }, () => testsOf(kind));
}
