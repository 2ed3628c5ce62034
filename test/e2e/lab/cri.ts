// Pods by crictl, on a node whose containerd serves CRI.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from './clients.ts';
import { runCommand } from './command.ts';
import { namespaceOfRun, programEnvironment } from './containerd.ts';
import { staticBusybox } from './debian-packages.ts';
import { buildImage, type Image } from './image.ts';
import { busyboxLayer } from './layers.ts';
import { plugin, type VarveNode } from './varve-node.ts';

/** Of CRI, whatever the namespaces of pods are. */
export const criNamespace = 'k8s.io';

export const sandboxImage = 'localhost/pause:latest';

const limitMs = 120_000;

/** The image of what holds a pod's namespaces. */
export async function buildSandboxImage(directory: string): Promise<Image> {
  mkdirSync(directory);
  const layers = [await busyboxLayer(await staticBusybox())];
  return buildImage({ name: 'pause', directory, layers, command: ['sleep', '1000000'] });
}

/** Gives containerd the image of sandboxes, as if it had been pulled. */
export async function importSandboxImage({ scratch, containerd }: VarveNode): Promise<void> {
  const { archivePath } = await buildSandboxImage(join(scratch.path, 'pause'));
  const options = ['--snapshotter', plugin];
  await containerd.ctr('-n', criNamespace, 'images', 'import', ...options, archivePath);
}

export interface Cri {
  readonly crictl: (...argv: string[]) => Promise<string>;
  /** Starts a pod on the machine's network; gives its id. */
  readonly runPod: (name: string) => Promise<string>;
  /** Starts a container in a pod; gives its id. */
  readonly runContainer: (
    pod: string,
    options: { readonly name: string; readonly image: string; readonly command: readonly string[] },
  ) => Promise<string>;
}

export function criOf({ scratch, containerd }: VarveNode, client: Client): Cri {
  const endpoint = `unix://${containerd.address}`;
  const directory = join(scratch.path, 'cri');
  mkdirSync(directory);
  const env = programEnvironment(client.programDirectories);
  const configPath = join(directory, 'crictl.yaml');
  const timeout = 60;
  // YAML, of which JSON is a part.
  const settings = { 'runtime-endpoint': endpoint, 'image-endpoint': endpoint, timeout };
  writeFileSync(configPath, JSON.stringify(settings));
  const crictl = (...argv: string[]): Promise<string> =>
    runCommand(['crictl', '--config', configPath, ...argv], { env, limitMs });
  const written = (name: string, value: unknown): string => {
    const path = join(directory, `${name}.json`);
    writeFileSync(path, JSON.stringify(value));
    return path;
  };
  const podPaths = new Map<string, string>();
  return {
    crictl,
    runPod: async (name) => {
      const machineNetwork = 2;
      const path = written(name, {
        metadata: { name, uid: name, namespace: 'default', attempt: 0 },
        log_directory: directory,
        linux: {
          cgroup_parent: `/${namespaceOfRun()}`,
          security_context: { namespace_options: { network: machineNetwork } },
        },
      });
      const id = (await crictl('runp', path)).trim();
      podPaths.set(id, path);
      return id;
    },
    runContainer: async (pod, { name, image, command }) => {
      const metadata = { name, attempt: 0 };
      const path = written(name, { metadata, image: { image }, command, log_path: `${name}.log` });
      const id = (await crictl('create', pod, path, podPaths.get(pod) ?? '')).trim();
      await crictl('start', id);
      return id;
    },
  };
}
