// The configuration of a containerd with proxy snapshotters. Version 2 of the file serves every
// containerd from 1.6 on.
import { join } from 'node:path';

export interface ProxySnapshotter {
  readonly name: string;
  readonly address: string;
  /** Where its layers lie, for what asks containerd about disk space. */
  readonly root: string;
  readonly capabilities?: readonly string[];
}

export interface ConfigOptions {
  readonly directory: string;
  readonly majorVersion: number;
  readonly snapshotters: readonly ProxySnapshotter[];
  /** With it CRI is served, too. */
  readonly cri?: CriOptions;
}

/** What pods run with. */
export interface CriOptions {
  readonly snapshotter: string;
  /** The image of what holds a pod's namespaces. */
  readonly sandboxImage: string;
  /** Where the network plugins are; without one pods are on the machine's network. */
  readonly networkPlugins?: string;
}

const text = (value: string): string => JSON.stringify(value);

function proxyLines(proxy: ProxySnapshotter): readonly string[] {
  const { name, address, root, capabilities = [] } = proxy;
  return [
    `[proxy_plugins.${text(name)}]`,
    '  type = "snapshot"',
    `  address = ${text(address)}`,
    ...(capabilities.length > 0 ? [`  capabilities = [${capabilities.map(text).join(', ')}]`] : []),
    `[proxy_plugins.${text(name)}.exports]`,
    `  root = ${text(root)}`,
  ];
}

/** containerd 2 imports and pulls only for snapshotters that its transfer service knows. */
function transferLines(options: ConfigOptions): readonly string[] {
  const { majorVersion, snapshotters } = options;
  if (majorVersion < 2) return [];
  const plugin = 'plugins."io.containerd.transfer.v1.local"';
  return [
    `[${plugin}]`,
    // Layers are unpacked side by side.
    '  max_concurrent_unpacks = 3',
    ...snapshotters.flatMap(({ name }) => [
      `[[${plugin}.unpack_config]]`,
      '  platform = "linux"',
      `  snapshotter = ${text(name)}`,
      '  differ = "walking"',
    ]),
  ];
}

const criPlugin = 'io.containerd.grpc.v1.cri';

function criLines({ directory, cri }: ConfigOptions): readonly string[] {
  if (cri === undefined) return [];
  const { snapshotter, sandboxImage, networkPlugins = join(directory, 'cni/bin') } = cri;
  const table = `plugins.${text(criPlugin)}`;
  return [
    `[${table}]`,
    `  sandbox_image = ${text(sandboxImage)}`,
    '  disable_tcp_service = true',
    // Pods ask for more than a test may have.
    '  restrict_oom_score_adj = true',
    `[${table}.containerd]`,
    `  snapshotter = ${text(snapshotter)}`,
    '  disable_snapshot_annotations = false',
    `[${table}.containerd.runtimes.runc]`,
    '  runtime_type = "io.containerd.runc.v2"',
    `[${table}.containerd.runtimes.runc.options]`,
    `  Root = ${text(join(directory, 'runc'))}`,
    `[${table}.cni]`,
    `  bin_dir = ${text(networkPlugins)}`,
    `  conf_dir = ${text(join(directory, 'cni/conf'))}`,
  ];
}

/** The text of config.toml. */
export function containerdConfig(options: ConfigOptions): string {
  const { directory, snapshotters } = options;
  const lines = [
    'version = 2',
    `root = ${text(join(directory, 'root'))}`,
    `state = ${text(join(directory, 'state'))}`,
    ...(options.cri === undefined ? [`disabled_plugins = [${text(criPlugin)}]`] : []),
    '[grpc]',
    `  address = ${text(join(directory, 'containerd.sock'))}`,
    '[ttrpc]',
    `  address = ${text(join(directory, 'containerd.ttrpc.sock'))}`,
    '[debug]',
    '  level = "info"',
    '[plugins."io.containerd.gc.v1.scheduler"]',
    '  startup_delay = "100ms"',
    // By default these lie in places of the whole machine.
    '[plugins."io.containerd.internal.v1.opt"]',
    `  path = ${text(join(directory, 'opt'))}`,
    '[plugins."io.containerd.nri.v1.nri"]',
    '  disable = true',
    ...criLines(options),
    ...snapshotters.flatMap(proxyLines),
    ...transferLines(options),
  ];
  return `${lines.join('\n')}\n`;
}
