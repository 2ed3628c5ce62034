// Docker Engine on a containerd of a test, with containerd's image store and a snapshotter of the
// test's choice. No bridge and no rules for packets: containers run with `--network none`.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand, tryCommand } from './command.ts';
import { namespaceOfRun, programEnvironment } from './containerd.ts';
import type { DockerClient } from './clients.ts';
import type { Scratch } from './scratch.ts';
import { startService, waitUntilReady, type Service } from './service.ts';

export interface DockerOptions {
  /** Short: Docker's sockets lie some way below it. */
  readonly directory: string;
  readonly client: DockerClient;
  readonly containerdAddress: string;
  readonly snapshotter: string;
  /** Takes the daemon down at its end, with its containers; told before it is started. */
  readonly scratch: Scratch;
}

export interface Docker {
  /** Runs docker and gives what it printed; it must succeed. */
  readonly docker: (...parameters: string[]) => Promise<string>;
  /** Ends the daemon as its service manager does, or at once; containers run on. */
  readonly halt: (how: 'stop' | 'kill') => Promise<void>;
  /** Starts the daemon again. */
  readonly resume: () => Promise<void>;
}

const commandLimitMs = 120_000;
const stopLimitMs = 20_000;

/** What is in the file depends on the directory and the run alone. */
function configurationOf({ directory, containerdAddress, snapshotter }: DockerOptions): unknown {
  return {
    hosts: [`unix://${socketIn(directory)}`],
    containerd: containerdAddress,
    features: { 'containerd-snapshotter': true },
    'storage-driver': snapshotter,
    'data-root': join(directory, 'data'),
    'exec-root': join(directory, 'exec'),
    pidfile: join(directory, 'pid'),
    group: 'root',
    'cgroup-parent': `/${namespaceOfRun()}`,
    'live-restore': true,
    bridge: 'none',
    iptables: false,
    ip6tables: false,
    'ip-forward': false,
    'ip-masq': false,
    'userland-proxy': false,
  };
}

const socketIn = (directory: string): string => join(directory, 'sock');

/** Starts Docker Engine and waits until it answers. */
export async function startDocker(options: DockerOptions): Promise<Docker> {
  const { directory, client } = options;
  const cli = join(directory, 'cli');
  const temporary = join(directory, 'tmp');
  mkdirSync(join(cli, 'cli-plugins'), { recursive: true });
  mkdirSync(temporary, { recursive: true });
  symlinkSync(client.buildx, join(cli, 'cli-plugins/docker-buildx'));
  const configPath = join(directory, 'daemon.json');
  writeFileSync(configPath, JSON.stringify(configurationOf(options)));
  const env = {
    ...programEnvironment(client.programDirectories),
    DOCKER_HOST: `unix://${socketIn(directory)}`,
    DOCKER_CONFIG: cli,
    // The daemon mounts init layers there.
    TMPDIR: temporary,
  };
  const limited = { env, limitMs: commandLimitMs };
  const docker = (...parameters: string[]): Promise<string> =>
    runCommand(['docker', ...parameters], limited);
  let service: Service | undefined;
  const start = async (): Promise<void> => {
    service = startService({
      name: 'dockerd',
      argv: ['dockerd', '--config-file', configPath],
      logPath: join(directory, 'log'),
      env,
    });
    await waitUntilReady(service, async () => {
      return (await tryCommand(['docker', 'version'], limited)).status === 0;
    });
  };
  options.scratch.defer(async () => {
    if (service?.isRunning() !== true) return;
    // It may not answer yet. Later it would give each container ten seconds to end.
    const listed = await tryCommand(['docker', 'ps', '-aq'], limited);
    const ids = listed.stdout.toString().split('\n').filter(Boolean);
    if (ids.length > 0) await tryCommand(['docker', 'rm', '--force', '--volumes', ...ids], limited);
    await service.stop(stopLimitMs);
  });
  await start();
  return {
    docker,
    halt: async (how) => {
      await (how === 'stop' ? service?.stop(stopLimitMs) : service?.kill());
    },
    resume: start,
  };
}
