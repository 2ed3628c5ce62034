// Clients newer than Debian's, built from the Go module proxy at pinned versions into the cache.
import { delimiter, join } from 'node:path';
import { cached } from './cache.ts';
import { MissingError, runCommand, tryCommand } from './command.ts';

interface Client {
  readonly module: string;
  readonly version: string;
  readonly packages: readonly string[];
  readonly versionVariable?: string;
  readonly needsCompiler?: boolean;
}

const clients = {
  containerd: {
    module: 'github.com/containerd/containerd/v2',
    version: 'v2.4.2',
    packages: ['cmd/containerd', 'cmd/ctr', 'cmd/containerd-shim-runc-v2'],
    versionVariable: 'version.Version',
  },
  runc: {
    module: 'github.com/opencontainers/runc',
    version: 'v1.5.2',
    packages: ['.'],
    needsCompiler: true,
  },
} as const satisfies Record<string, Client>;

/** The names of the clients that can be built. */
export type GoClientName = keyof typeof clients;

const buildLimitMs = 900_000;
const environment = {
  PATH: [process.env['PATH'] ?? '', '/usr/local/go/bin'].join(delimiter),
  GOFLAGS: '',
  GOWORK: 'off',
};

/** The directory of a client's commands; a MissingError says why it cannot be built here. */
export async function builtGoClient(name: GoClientName): Promise<string> {
  const client: Client = clients[name];
  return cached(join('go', `${name}-${client.version}`), (directory) => build(client, directory));
}

async function build(client: Client, directory: string): Promise<void> {
  const { module, version, packages, versionVariable, needsCompiler = false } = client;
  const found = await tryCommand(['go', 'version'], { env: environment }).catch(() => undefined);
  if (found?.status !== 0) throw new MissingError('no go in PATH');
  const proxy = await tryCommand(['go', 'mod', 'download', `${module}@${version}`], {
    env: environment,
    cwd: directory,
    limitMs: buildLimitMs,
  });
  if (proxy.status !== 0) {
    throw new MissingError(`the Go module proxy does not serve ${module} ${version}`);
  }
  const naming = versionVariable === undefined ? '' : ` -X ${module}/${versionVariable}=${version}`;
  const paths = packages.map((path) => `${join(module, path)}@${version}`);
  await runCommand(['go', 'install', '-trimpath', '-ldflags', `-s -w${naming}`, ...paths], {
    env: { ...environment, GOBIN: directory, CGO_ENABLED: needsCompiler ? '1' : '0' },
    cwd: directory,
    limitMs: buildLimitMs,
  });
}
