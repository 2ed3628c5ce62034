// The containerds and Docker Engines that tests run against, each with all the programs it needs,
// or why it cannot be had on this machine.
import { join } from 'node:path';
import { MissingError } from './command.ts';
import { containerdDirectory, runcDirectory } from './debian-packages.ts';
import { suitePackages } from './debian-suite.ts';
import { builtGoClient, type GoClientName } from './go-clients.ts';

export interface Client {
  readonly name: string;
  readonly programDirectories: readonly string[];
}

/** Docker Engine with the containerd that it runs on. */
export interface DockerClient extends Client {
  /** The program of `docker build`. */
  readonly buildx: string;
  /** Whether tests have it pull its image, or load it. */
  readonly pulls: boolean;
}

interface Missing {
  readonly name: string;
  readonly missing: string;
}

/** A client, or the reason why it is missing. */
export type ClientOrReason<Found extends Client = Client> = Found | Missing;

async function foundOr<Found>(
  name: string,
  find: () => Promise<Found>,
): Promise<({ readonly name: string } & Found) | Missing> {
  if (process.getuid?.() !== 0) return { name, missing: 'it mounts, so it must be run as root' };
  try {
    return { name, ...(await find()) };
  } catch (error) {
    if (error instanceof MissingError) return { name, missing: error.message };
    throw error;
  }
}

const clientOr = (
  name: string,
  directories: () => Promise<readonly string[]>,
): Promise<ClientOrReason> =>
  foundOr(name, async () => ({ programDirectories: await directories() }));

/** What a client that needs Go may not be with VARVE_REQUIRE_GO=1: missing. */
function required<Found extends Client>(client: ClientOrReason<Found>): ClientOrReason<Found> {
  if ('missing' in client && process.env['VARVE_REQUIRE_GO'] === '1') {
    throw new Error(`${client.name} is required here: ${client.missing}`);
  }
  return client;
}

/** Debian's containerd 1.6 with Debian's runc. */
export function debianContainerd(): Promise<ClientOrReason> {
  return clientOr('containerd 1.6', async () => [
    await containerdDirectory('1.6.'),
    await runcDirectory(),
  ]);
}

/** containerd 2.4, built from the Go module proxy; with VARVE_REQUIRE_GO=1 it must be had. */
export async function newContainerd(): Promise<ClientOrReason> {
  return clientOfNewContainerd('containerd 2.4');
}

/** Debian's newer suite, whose Docker runs on this one; its runc does not. */
const newerSuite = 'trixie';

/** Debian's Docker 26 with its containerd 1.7. */
export function debianDocker(): Promise<ClientOrReason<DockerClient>> {
  return foundOr('Docker 26', async () => {
    const packages = ['docker.io', 'docker-cli', 'docker-buildx', 'containerd'];
    const root = await suitePackages('docker', newerSuite, packages);
    return {
      programDirectories: [join(root, 'usr/sbin'), join(root, 'usr/bin'), await runcDirectory()],
      buildx: join(root, 'usr/libexec/docker/cli-plugins/docker-buildx'),
      pulls: false,
    };
  });
}

/** Docker 29 with containerd 2.4, built from the Go module proxy. */
export async function newDocker(): Promise<ClientOrReason<DockerClient>> {
  const client = await foundOr('Docker 29', async () => ({
    programDirectories: [
      await builtGoClient('docker'),
      await builtGoClient('docker-cli'),
      await builtGoClient('containerd'),
      // It asks for namespaces that Debian's runc does not know.
      await builtGoClient('runc'),
    ],
    buildx: join(await builtGoClient('buildx'), 'buildx'),
    pulls: true,
  }));
  return required(client);
}

/** A client of containerd 2.4 with it, built from the Go module proxy. */
const clientOfNewContainerd = async (
  name: string,
  ...programs: GoClientName[]
): Promise<ClientOrReason> =>
  required(
    await clientOr(name, async () => {
      const directories: string[] = [];
      for (const program of [...programs, 'containerd'] as const) {
        directories.push(await builtGoClient(program));
      }
      return [...directories, await runcDirectory()];
    }),
  );

export const nerdctl = (): Promise<ClientOrReason> => clientOfNewContainerd('nerdctl', 'nerdctl');

/** BuildKit's daemon and its command. */
export const buildkit = (): Promise<ClientOrReason> =>
  clientOfNewContainerd('BuildKit', 'buildkit');

/** crictl and critest with the network plugins that pods want. */
export const criTools = (): Promise<ClientOrReason> =>
  clientOfNewContainerd('CRI', 'cri-tools', 'cni-plugins');

export const kubelet = (): Promise<ClientOrReason> =>
  clientOfNewContainerd('kubelet', 'kubelet', 'cri-tools', 'cni-plugins');
