// varve up: runs `varve serve` and varve-bd together, for a demo, a test or a container image. It
// may be the first process of a container.
import { findNativeFile } from '../../adapters/native/location.ts';
import { reapOrphans } from '../../adapters/native/orphans.ts';
import type { Configuration } from '../../config/configuration.ts';
import { loadConfiguration, type ConfigurationFlags } from '../../config/load.ts';
import { printable } from '../../history/text.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { leaveProcess } from '../process-events.ts';
import type { Service } from '../supervisor/child.ts';
import { Supervisor } from '../supervisor/supervisor.ts';

type UpInput = ConfigurationFlags & {
  readonly config?: string;
  readonly blockConfig?: string;
};

type Environment = CommandContext['environment'];

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export async function run({ environment }: CommandContext, input: UpInput): Promise<void> {
  const { root, address, adminAddress, logLevel } = input;
  const flags = { root, address, adminAddress, logLevel };
  const loaded = loadConfiguration({ flags, configPath: input.config, environment });
  if (!loaded.ok) throw new CliFailure(exitCodes.configuration, loaded.problems.join('\n'));
  const services = [
    blockDaemon(loaded.configuration, input, environment),
    snapshotter(loaded.configuration, input, environment),
  ];
  const supervisor = new Supervisor(services, say);
  leaveProcess();
  const told = new Promise<void>((resolve) => {
    // However often it is told, it ends once.
    for (const signal of signals) process.on(signal, () => resolve());
  });
  if (process.pid === 1) process.on('SIGCHLD', () => reapOrphans(supervisor.pids));
  const failure = await Promise.race([supervisor.start(), told.then(() => undefined)]);
  if (failure !== undefined) {
    const exitCode = failure.exitCode === exitCodes.configuration ? 'configuration' : 'failure';
    throw new CliFailure(exitCodes[exitCode], failure.message);
  }
  await told;
  process.exitCode = (await supervisor.stop()) ? exitCodes.success : exitCodes.failure;
}

function say(line: string): void {
  process.stderr.write(`varve up: ${printable(line)}\n`);
}

function blockDaemon(
  { blockDaemonAddress }: Configuration,
  { blockConfig, logLevel }: UpInput,
  environment: Environment,
): Service {
  const options = [
    ...option('--config', blockConfig),
    ...option('--log-level', logLevel?.toLowerCase()),
  ];
  return {
    name: 'varve-bd',
    argv: [findNativeFile('varve-bd'), '--socket', blockDaemonAddress, ...options],
    // That everything is ready is for varve serve to say, which comes after it.
    environment: { ...environment, NOTIFY_SOCKET: undefined },
    address: blockDaemonAddress,
  };
}

function snapshotter(
  { address }: Configuration,
  { config, root, address: given, adminAddress, logLevel }: UpInput,
  environment: Environment,
): Service {
  const options = [
    ...option('--config', config),
    ...option('--root', root),
    ...option('--address', given),
    ...option('--admin-address', adminAddress),
    ...option('--log-level', logLevel),
  ];
  const [program = ''] = process.argv.slice(1);
  return {
    name: 'varve serve',
    argv: [process.execPath, ...process.execArgv, program, 'serve', ...options],
    environment,
    address,
  };
}

const option = (name: string, value: string | undefined): readonly string[] =>
  value === undefined ? [] : [name, value];
