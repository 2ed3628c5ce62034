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
  readonly maxConcurrentUnpacks?: number;
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
  const { majorVersion, snapshotters, maxConcurrentUnpacks = 1 } = options;
  if (majorVersion < 2) return [];
  const plugin = 'plugins."io.containerd.transfer.v1.local"';
  return [
    `[${plugin}]`,
    `  max_concurrent_unpacks = ${maxConcurrentUnpacks}`,
    ...snapshotters.flatMap(({ name }) => [
      `[[${plugin}.unpack_config]]`,
      '  platform = "linux"',
      `  snapshotter = ${text(name)}`,
      '  differ = "walking"',
    ]),
  ];
}

/** The text of config.toml. */
export function containerdConfig(options: ConfigOptions): string {
  const { directory, snapshotters } = options;
  const lines = [
    'version = 2',
    `root = ${text(join(directory, 'root'))}`,
    `state = ${text(join(directory, 'state'))}`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    '[grpc]',
    `  address = ${text(join(directory, 'containerd.sock'))}`,
    '[ttrpc]',
    `  address = ${text(join(directory, 'containerd.ttrpc.sock'))}`,
    '[debug]',
    '  level = "info"',
    '[plugins."io.containerd.gc.v1.scheduler"]',
    '  startup_delay = "100ms"',
    // By default it lies in a place of the whole machine.
    '[plugins."io.containerd.internal.v1.opt"]',
    `  path = ${text(join(directory, 'opt'))}`,
    ...snapshotters.flatMap(proxyLines),
    ...transferLines(options),
  ];
  return `${lines.join('\n')}\n`;
}
