// BuildKit with a containerd worker on varve: commands, copies and several stages upon a pulled
// image, and pruning until nothing is left.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { buildkit, type Client } from '../e2e/lab/clients.ts';
import { runCommand, tryCommand } from '../e2e/lab/command.ts';
import { namespaceOfRun, programEnvironment } from '../e2e/lab/containerd.ts';
import { startRegistry } from '../e2e/lab/registry.ts';
import { startService, waitUntilReady } from '../e2e/lab/service.ts';
import { plugin, VarveNode, type LayerKind } from '../e2e/lab/varve-node.ts';

type BuildControl = (...argv: string[]) => Promise<string>;

const limitMs = 120_000;

/** Starts buildkitd; it pulls from the registry at `host`. */
async function startBuildkit(node: VarveNode, client: Client, host: string): Promise<BuildControl> {
  const directory = join(node.scratch.path, 'b');
  mkdirSync(directory);
  const address = `unix://${join(directory, 'sock')}`;
  const configPath = join(directory, 'buildkitd.toml');
  const text = (value: string): string => JSON.stringify(value);
  const lines = [
    `root = ${text(join(directory, 'root'))}`,
    '[grpc]',
    `  address = [${text(address)}]`,
    '[otel]',
    `  socketPath = ${text(join(directory, 'otel'))}`,
    '[worker.oci]',
    '  enabled = false',
    '[worker.containerd]',
    '  enabled = true',
    `  address = ${text(node.containerd.address)}`,
    `  namespace = ${text(namespaceOfRun())}`,
    `  snapshotter = ${text(plugin)}`,
    `  defaultCgroupParent = ${text(`/${namespaceOfRun()}`)}`,
    '  networkMode = "host"',
    `[registry.${text(host)}]`,
    '  http = true',
  ];
  writeFileSync(configPath, `${lines.join('\n')}\n`);
  const env = { ...programEnvironment(client.programDirectories), TMPDIR: directory };
  const service = startService({
    name: 'buildkitd',
    argv: ['buildkitd', '--config', configPath],
    logPath: join(directory, 'log'),
    env,
  });
  node.scratch.defer(() => service.stop());
  const argv = ['buildctl', '--addr', address];
  await waitUntilReady(service, async () => {
    return (await tryCommand([...argv, 'debug', 'workers'], { env, limitMs })).status === 0;
  });
  return (...rest) => runCommand([...argv, ...rest], { env, limitMs });
}

const client = await buildkit();

function testsOf(kind: LayerKind): void {
  let started: VarveNode | undefined;
  let control: BuildControl;
  let reference: string;
  before(async () => {
    if ('missing' in client) return;
    started = await VarveNode.start({ prefix: 'k-', client });
    const registry = await startRegistry(join(started.scratch.path, 'registry'));
    started.scratch.defer(registry.stop);
    reference = await registry.push(await started.image(kind));
    control = await startBuildkit(started, client, registry.host);
  });
  after(() => started?.scratch.dispose());

  test('commands, copies and several stages make what the Dockerfile says', async () => {
    assert.ok(started);
    const folder = join(started.scratch.path, 'context');
    const output = join(started.scratch.path, 'out');
    mkdirSync(folder);
    writeFileSync(join(folder, 'copied'), 'copied\n');
    const dockerfile = [
      `FROM ${reference} AS first`,
      'RUN echo made >/made && rm /data/big && ls /data/gone* /data/opaque >/listed 2>&1 || true',
      `FROM ${reference} AS second`,
      'COPY --from=first /made /listed /data/',
      'COPY copied /data/copied',
      'RUN cat /data/made /data/copied /data/replaced >/data/both && rm -r /data/opaque',
      'FROM scratch',
      'COPY --from=second /data /',
    ];
    writeFileSync(join(folder, 'Dockerfile'), `${dockerfile.join('\n')}\n`);
    const local = ['--local', `context=${folder}`, '--local', `dockerfile=${folder}`];
    const target = ['--output', `type=local,dest=${output}`];
    await control('build', '--frontend', 'dockerfile.v0', ...local, ...target);
    const read = (name: string): string => readFileSync(join(output, name), 'utf8');
    assert.equal(read('both'), 'made\ncopied\nafter\n');
    assert.match(read('listed'), /shown/);
    assert.doesNotMatch(read('listed'), /hidden|gone-dir$/m);
    assert.equal(read('big').length, 2 << 20);
    assert.equal(existsSync(join(output, 'opaque')), false);
    if (kind === 'overlaybd') {
      const events = await started.events();
      assert.equal(events.filter(({ type }) => type === 'DeviceAttached').length, 1);
    }
  });

  test('nothing is left when all is pruned', async () => {
    await control('prune', '--all');
    await started?.nothingLeft();
  });
}

for (const kind of ['ordinary', 'overlaybd'] as const) {
  const obstacle = kind === 'overlaybd' ? deviceObstacle() : undefined;
  const skip = 'missing' in client ? client.missing : (obstacle ?? false);
  describe(`BuildKit, ${kind} image`, { skip, timeout: 300_000 }, () => testsOf(kind));
}
