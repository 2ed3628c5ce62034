// Runs critest, the Kubernetes project's tests of CRI, on one snapshotter with one kind of image,
// in namespaces of its own, and writes which specs passed:
//
//   node critest-run.ts SNAPSHOTTER KIND RESULT
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { criTools } from '../e2e/lab/clients.ts';
import { tryCommand } from '../e2e/lab/command.ts';
import { programEnvironment } from '../e2e/lab/containerd.ts';
import { buildSandboxImage } from '../e2e/lab/cri.ts';
import { builtGoClient } from '../e2e/lab/go-clients.ts';
import { makeScratch } from '../e2e/lab/scratch.ts';
import { startRegistry } from '../e2e/lab/registry.ts';
import { imageOf, VarveNode, type LayerKind } from '../e2e/lab/varve-node.ts';

const [snapshotter = '', kind = '', resultPath = ''] = process.argv.slice(2);

/** Needs what is not here: images of web servers, security modules, shared mounts. */
const skipped =
  'benchmark|apparmor|SELinux|mount propagation|httpd|nginx|predefined-group|NoNewPrivs|OOM';
const limitMs = 900_000;
/** The names of the images that the specs pull. */
const imageNames = [
  ...['busybox', 'e2e-test-images/busybox'],
  ...['tag', 'latest', '1', '2', '3'].map((end) => `k8s-staging-cri-tools/test-image-${end}`),
];

interface Report {
  readonly SpecReports: readonly {
    readonly State: string;
    readonly LeafNodeType: string;
    readonly LeafNodeText: string;
    readonly ContainerHierarchyTexts: readonly string[] | null;
  }[];
}

const client = await criTools();
if ('missing' in client) throw new Error(client.missing);
const scratch = makeScratch('r-');
const registry = await startRegistry(join(scratch.path, 'registry'));
scratch.defer(registry.stop);
const pause = await registry.push(await buildSandboxImage(join(scratch.path, 'pause')));
const image = await imageOf(kind as LayerKind, join(scratch.path, 'images'));
for (const name of imageNames) await registry.push(image, name);
const networkPlugins = await builtGoClient('cni-plugins');
const cri = { snapshotter, sandboxImage: pause, networkPlugins };
const node = await VarveNode.start({ prefix: 'v-', client, cri });
scratch.defer(node.scratch.dispose);

const networks = join(node.scratch.path, 'c/cni/conf');
mkdirSync(networks, { recursive: true });
const subnet = '10.88.0.0/16';
const ipam = { type: 'host-local', subnet, dataDir: join(scratch.path, 'addresses') };
const network = { cniVersion: '1.0.0', name: 'test', plugins: [{ type: 'ptp', ipam }] };
writeFileSync(join(networks, '10-test.conflist'), JSON.stringify(network));

const imagesPath = join(scratch.path, 'images.yaml');
const busybox = `${registry.host}/busybox:latest`;
writeFileSync(imagesPath, JSON.stringify({ defaultTestContainerImage: busybox }));
const reportPath = join(scratch.path, 'report.json');
const endpoint = `unix://${node.containerd.address}`;
const configPath = join(scratch.path, 'crictl.yaml');
writeFileSync(configPath, JSON.stringify({ 'runtime-endpoint': endpoint }));
const argv = [
  ...['critest', '-config', configPath, '-runtime-endpoint', endpoint, '-image-endpoint', endpoint],
  ...['-registry-prefix', registry.host, '-test-images-file', imagesPath],
  ...[`-ginkgo.skip=${skipped}`, `-ginkgo.json-report=${reportPath}`, '-ginkgo.no-color'],
];
const { stdout, stderr } = await tryCommand(argv, {
  env: { ...programEnvironment(client.programDirectories), TMPDIR: scratch.path },
  cwd: scratch.path,
  limitMs,
});
writeFileSync(`${resultPath}.log`, `${stdout.toString()}\n${stderr}`);
const [{ SpecReports } = { SpecReports: [] }] = JSON.parse(
  readFileSync(reportPath, 'utf8'),
) as Report[];
const specs = SpecReports.filter(({ LeafNodeType }) => LeafNodeType === 'It');
const inState = (state: string): readonly string[] =>
  specs
    .filter(({ State }) => State === state)
    .map((spec) => [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' '));
writeFileSync(resultPath, JSON.stringify({ passed: inState('passed'), failed: inState('failed') }));
await scratch.dispose();
