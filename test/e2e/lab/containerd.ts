// A containerd of its own below a directory. Stopping it ends its containers and their shims, too.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { runBinary, runCommand, tryCommand } from './command.ts';
import { containerdConfig, type ProxySnapshotter } from './containerd-config.ts';
import { unmountBelow } from './scratch.ts';
import { startService, waitUntilReady, type Service } from './service.ts';

export interface ContainerdOptions {
  readonly directory: string;
  /** Searched first for containerd, ctr, the shim and runc, in this order. */
  readonly programDirectories: readonly string[];
  readonly snapshotters: readonly ProxySnapshotter[];
  readonly maxConcurrentUnpacks?: number;
}

export interface Containerd {
  readonly address: string;
  readonly version: string;
  readonly service: Service;
  /** Runs ctr and gives what it printed; it must succeed. */
  readonly ctr: (...parameters: string[]) => Promise<string>;
  /** The same for output that is not text. */
  readonly ctrBinary: (...parameters: string[]) => Promise<Buffer>;
  readonly stop: () => Promise<void>;
}

const ctrLimitMs = 120_000;

function environmentOf(programDirectories: readonly string[]): Record<string, string> {
  const path = [
    ...programDirectories,
    process.env['PATH'] ?? '',
    '/usr/local/sbin:/usr/sbin:/sbin',
  ];
  return { PATH: path.join(delimiter), CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS: '1' };
}

/** Starts a containerd and waits until it answers. */
export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const { directory, programDirectories, snapshotters, maxConcurrentUnpacks } = options;
  const env = environmentOf(programDirectories);
  const printed = await runCommand(['containerd', '--version'], { env });
  const version = /\sv?(\d+\.\d+\.\d+)/.exec(printed)?.[1] ?? '';
  mkdirSync(directory, { recursive: true });
  const address = join(directory, 'containerd.sock');
  const configPath = join(directory, 'config.toml');
  const limits = maxConcurrentUnpacks === undefined ? {} : { maxConcurrentUnpacks };
  const majorVersion = Number.parseInt(version, 10);
  writeFileSync(configPath, containerdConfig({ directory, majorVersion, snapshotters, ...limits }));
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
  const limited = { env, limitMs: ctrLimitMs };
  await waitUntilReady(service, async () => {
    return (await tryCommand(argvOf(['version']), limited)).status === 0;
  });
  const ctr = (...parameters: string[]): Promise<string> => runCommand(argvOf(parameters), limited);
  return {
    address,
    version,
    service,
    ctr,
    ctrBinary: (...parameters) => runBinary(argvOf(parameters), limited),
    stop: () => stopContainerd(directory, service, ctr),
  };
}

async function stopContainerd(
  directory: string,
  service: Service,
  ctr: Containerd['ctr'],
): Promise<void> {
  if (service.isRunning()) await removeTasks(ctr).catch(() => undefined);
  await service.stop();
  killShims(join(directory, 'containerd.sock'));
  unmountBelow(directory);
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
