// Runs a kubelet on its own, without a cluster, on varve with one kind of image, in namespaces of
// its own: a pod from a folder of manifests starts, its container is started again when it ends,
// and both go with the manifest.
//
//   node kubelet-run.ts KIND
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kubelet } from '../e2e/lab/clients.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { programEnvironment } from '../e2e/lab/containerd.ts';
import { criNamespace, criOf, importSandboxImage, sandboxImage } from '../e2e/lab/cri.ts';
import { startRegistry } from '../e2e/lab/registry.ts';
import { startService, waitUntil } from '../e2e/lab/service.ts';
import { VarveNode, type LayerKind } from '../e2e/lab/varve-node.ts';

const [kind = ''] = process.argv.slice(2);
const limitMs = 90_000;

const client = await kubelet();
if ('missing' in client) throw new Error(client.missing);
const node = await VarveNode.start({ prefix: 'k-', client, cri: { sandboxImage } });
const at = (...names: string[]): string => join(node.scratch.path, ...names);
await importSandboxImage(node);
const registry = await startRegistry(at('registry'));
node.scratch.defer(registry.stop);
const image = await registry.push(await node.image(kind as LayerKind));
const cri = criOf(node, client);

// It sets these for the whole machine, which keeps them: it finds files in their place.
const machineSettings = [
  ...['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'],
  ...['kernel/keys/root_maxkeys', 'kernel/keys/root_maxbytes'],
];
for (const name of machineSettings) {
  const real = join('/proc/sys', name);
  const path = at(name.replaceAll('/', '-'));
  writeFileSync(path, readFileSync(real));
  await runCommand(['mount', '--bind', path, real]);
}

for (const folder of ['pods', 'logs', 'volumes', 'kubelet']) mkdirSync(at(folder));
const configuration = {
  kind: 'KubeletConfiguration',
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  containerRuntimeEndpoint: `unix://${node.containerd.address}`,
  staticPodPath: at('pods'),
  podLogsDir: at('logs'),
  volumePluginDir: at('volumes'),
  fileCheckFrequency: '1s',
  syncFrequency: '2s',
  // What a cluster's machine has and this one may not.
  failCgroupV1: false,
  failSwapOn: false,
  cgroupDriver: 'cgroupfs',
  cgroupsPerQOS: false,
  enforceNodeAllocatable: [],
  oomScoreAdj: 0,
  makeIPTablesUtilChains: false,
  resolvConf: '',
  authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
  authorization: { mode: 'AlwaysAllow' },
};
const configPath = at('kubelet.json');
writeFileSync(configPath, JSON.stringify(configuration));
const service = startService({
  name: 'kubelet',
  argv: [
    'kubelet',
    '--config',
    configPath,
    '--root-dir',
    at('kubelet'),
    '--hostname-override',
    'n',
  ],
  logPath: at('kubelet.log'),
  env: programEnvironment(client.programDirectories),
});
node.scratch.defer(() => service.stop());

const running = async (): Promise<readonly string[]> =>
  (await cri.crictl('ps', '--quiet', '--state', 'running')).split('\n').filter(Boolean);

const until = async (what: string, probe: () => Promise<boolean>): Promise<void> => {
  await waitUntil(what, probe, limitMs).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${readFileSync(at('kubelet.log'), 'utf8').slice(-4000)}`);
  });
};

try {
  const command = ['sh', '-c', 'cat /data/replaced; exec sleep 1000'];
  const container = { name: 'main', image, imagePullPolicy: 'IfNotPresent', command };
  const manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'pod', namespace: 'default' },
    spec: { hostNetwork: true, terminationGracePeriodSeconds: 0, containers: [container] },
  };
  writeFileSync(at('pods/pod.json'), JSON.stringify(manifest));
  await until('the pod runs', async () => (await running()).length === 1);
  const [first = ''] = await running();
  assert.match(await cri.crictl('logs', first), /after/);

  await cri.crictl('stop', '--timeout', '0', first);
  const isReplaced = async (): Promise<boolean> => {
    const [next] = await running();
    return next !== undefined && next !== first;
  };
  await until('the container runs again', isReplaced);

  await node.kill();
  await node.restart();
  const [second = ''] = await running();
  await cri.crictl('stop', '--timeout', '0', second);
  await until('it runs again after kill -9 of the snapshotter', async () => {
    const [next] = await running();
    return next !== undefined && next !== second;
  });

  rmSync(at('pods/pod.json'));
  await until('the pod is gone', async () => (await cri.crictl('pods', '--quiet')).trim() === '');
  await service.stop();
  await cri.crictl('rmi', '--prune');
  const images = (...argv: string[]): Promise<string> =>
    node.containerd.ctr('-n', criNamespace, 'images', ...argv);
  await images('rm', '--sync', ...(await images('ls', '-q')).split('\n').filter(Boolean));
  await node.nothingLeft();
} finally {
  await node.scratch.dispose();
}
