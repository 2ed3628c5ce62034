// A containerd of its own below a directory. Stopping it ends its containers and their shims, too.
// Its namespace is named after the run: runc and the control groups know a container by namespace
// and name alone, whichever containerd it belongs to.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { runBinary, runCommand, tryCommand } from './command.ts';
import { containerdConfig, type CriOptions, type ProxySnapshotter } from './containerd-config.ts';
import { runVariable } from '../../../scripts/test/leaks.ts';
import { unmountBelow } from './scratch.ts';
import { startService, waitUntilReady, type Service } from './service.ts';
import { removeSharedState, shimSockets, watchSharedPlaces } from './shared-places.ts';

export interface ContainerdOptions {
  readonly directory: string;
  /** Searched first for containerd, ctr, the shim and runc, in this order. */
  readonly programDirectories: readonly string[];
  readonly snapshotters: readonly ProxySnapshotter[];
  readonly cri?: CriOptions;
}

export interface Containerd {
  readonly address: string;
  readonly version: string;
  readonly service: Service;
  /** What keeps the state of containers below the directory, for `ctr run` and `ctr tasks exec`. */
  readonly runOptions: readonly string[];
  readonly execOptions: readonly string[];
  /** Runs ctr and gives what it printed; it must succeed. */
  readonly ctr: (...parameters: string[]) => Promise<string>;
  /** The same for output that is not text. */
  readonly ctrBinary: (...parameters: string[]) => Promise<Buffer>;
  readonly stop: () => Promise<void>;
}

const ctrLimitMs = 120_000;
/** What does not answer while it is stopped is taken down without being asked. */
const stoppingLimitMs = 5000;

/** Of this process's run, and of no other on this machine. */
export const namespaceOfRun = (): string => `varve-${process.env[runVariable] ?? process.pid}`;

/** The environment in which the programs of these directories are found first. */
export function programEnvironment(programDirectories: readonly string[]): Record<string, string> {
  const path = [
    ...programDirectories,
    process.env['PATH'] ?? '',
    '/usr/local/sbin:/usr/sbin:/sbin',
  ];
  return { PATH: path.join(delimiter), CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS: '1' };
}

/** Starts a containerd and waits until it answers. */
export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const { directory, programDirectories, snapshotters, cri } = options;
  const env = programEnvironment(programDirectories);
  const printed = await runCommand(['containerd', '--version'], { env });
  const version = /\sv?(\d+\.\d+\.\d+)/.exec(printed)?.[1] ?? '';
  mkdirSync(directory, { recursive: true });
  const address = join(directory, 'containerd.sock');
  const configPath = join(directory, 'config.toml');
  const more = cri === undefined ? {} : { cri };
  const majorVersion = Number.parseInt(version, 10);
  writeFileSync(configPath, containerdConfig({ directory, majorVersion, snapshotters, ...more }));
  const namespace = namespaceOfRun();
  const tidySharedPlaces = watchSharedPlaces();
  const service = startService({
    name: 'containerd',
    argv: ['containerd', '-c', configPath],
    logPath: join(directory, 'log'),
    env,
  });
  const argvOf = (parameters: readonly string[]): readonly string[] => [
    'ctr',
    '--address',
    address,
    ...parameters,
  ];
  const limited = { env: { ...env, CONTAINERD_NAMESPACE: namespace }, limitMs: ctrLimitMs };
  await waitUntilReady(service, async () => {
    return (await tryCommand(argvOf(['version']), limited)).status === 0;
  });
  const ctr = (...parameters: string[]): Promise<string> => runCommand(argvOf(parameters), limited);
  const ctrAtStop: typeof ctr = (...parameters) =>
    runCommand(argvOf(parameters), { ...limited, limitMs: stoppingLimitMs });
  const execOptions = ['--fifo-dir', join(directory, 'fifo')];
  return {
    address,
    version,
    service,
    runOptions: ['--runc-root', runcRoot(directory), ...execOptions],
    execOptions,
    ctr,
    ctrBinary: (...parameters) => runBinary(argvOf(parameters), limited),
    stop: async () => {
      if (service.isRunning()) await removeTasks(ctrAtStop).catch(() => undefined);
      await service.stop();
      await removeContainers(directory, { namespace, env });
      unmountBelow(directory);
      tidySharedPlaces();
    },
  };
}

const runcRoot = (directory: string): string => join(directory, 'runc');

/** Removes what a containerd that was stopped with tasks left; nothing, if it ended in order. */
async function removeContainers(
  directory: string,
  { namespace, env }: { readonly namespace: string; readonly env: Record<string, string> },
): Promise<void> {
  const sockets = shimSockets(join(directory, 'state'));
  killShims(join(directory, 'containerd.sock'));
  const root = join(runcRoot(directory), namespace);
  for (const container of existsSync(root) ? readdirSync(root) : []) {
    await tryCommand(['runc', '--root', root, 'delete', '--force', container], { env });
  }
  removeSharedState(sockets, namespace);
}

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== '');

async function removeTasks(ctr: Containerd['ctr']): Promise<void> {
  for (const namespace of words(await ctr('namespaces', 'ls', '-q'))) {
    for (const task of words(await ctr('-n', namespace, 'tasks', 'ls', '-q'))) {
      await ctr('-n', namespace, 'tasks', 'rm', '-f', task);
    }
  }
}

const readProcess = (pid: string, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
};

/** Shims outlive containerd; ours are known by the address they were given. */
function killShims(address: string): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (!readProcess(pid, 'comm').startsWith('containerd-shim')) continue;
    if (!readProcess(pid, 'cmdline').split('\0').includes(address)) continue;
    const children = words(readProcess(pid, `task/${pid}/children`));
    for (const doomed of [...children, pid]) {
      try {
        process.kill(Number(doomed), 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }
}
