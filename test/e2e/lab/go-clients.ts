// Clients newer than Debian's, built from the Go module proxy at pinned versions into the cache.
import { join } from 'node:path';
import { cached } from './cache.ts';
import { buildGoModule, type GoModule } from './go-build.ts';

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
    library: 'libseccomp-dev',
    tags: 'seccomp',
  },
  docker: {
    module: 'github.com/moby/moby/v2',
    version: 'v2.0.0-beta.24',
    packages: ['cmd/dockerd'],
    versionVariable: 'dockerversion.Version',
  },
  'docker-cli': {
    module: 'github.com/docker/cli',
    version: 'v29.9.0+incompatible',
    packages: ['cmd/docker'],
    versionVariable: 'cli/version.Version',
    hasVendorFile: true,
  },
  buildx: {
    module: 'github.com/docker/buildx',
    version: 'v0.37.0',
    packages: ['cmd/buildx'],
    versionVariable: 'version.Version',
  },
  buildkit: {
    module: 'github.com/moby/buildkit',
    version: 'v0.33.0',
    packages: ['cmd/buildkitd', 'cmd/buildctl'],
    versionVariable: 'version.Version',
  },
  nerdctl: {
    module: 'github.com/containerd/nerdctl/v2',
    version: 'v2.2.2',
    packages: ['cmd/nerdctl'],
    versionVariable: 'pkg/version.Version',
    // A module for its own tests that the proxy does not serve.
    without: { requirement: 'mod/tigron', files: 'cmd/nerdctl/helpers/testing*.go' },
  },
  'cri-tools': {
    module: 'sigs.k8s.io/cri-tools',
    version: 'v1.36.0',
    packages: ['cmd/crictl'],
    testPackages: ['cmd/critest'],
    versionVariable: 'pkg/version.Version',
  },
  'cni-plugins': {
    module: 'github.com/containernetworking/plugins',
    version: 'v1.9.1',
    packages: ['plugins/main/loopback', 'plugins/main/ptp', 'plugins/ipam/host-local'],
  },
  kubelet: {
    module: 'k8s.io/kubernetes',
    version: 'v1.36.3',
    packages: ['cmd/kubelet'],
    stagedModules: 'k8s.io',
  },
} as const satisfies Record<string, GoModule>;

/** The names of the clients that can be built. */
export type GoClientName = keyof typeof clients;

/** The directory of a client's commands; a MissingError says why it cannot be built here. */
export async function builtGoClient(name: GoClientName): Promise<string> {
  const client: GoModule = clients[name];
  return cached(join('go', `${name}-${client.version}`), (directory) =>
    buildGoModule(client, directory),
  );
}
