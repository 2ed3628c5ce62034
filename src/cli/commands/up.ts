// varve up: runs `varve serve`, varve-bd and its holder together, for a demo, a test or a container
// image. It may be the first process of a container. What one that was killed left running is taken
// over.
import { dirname } from 'node:path';
import { findNativeFile } from '../../adapters/native/location.ts';
import { lockFile } from '../../adapters/native/lock.ts';
import { notifyServiceManager } from '../../adapters/native/notify.ts';
import { reapOrphans } from '../../adapters/native/orphans.ts';
import { makeDirectory } from '../../adapters/system/directories.ts';
import type { Configuration } from '../../config/configuration.ts';
import { loadConfiguration, type ConfigurationFlags } from '../../config/load.ts';
import { printable } from '../../history/text.ts';
import { canBeReplaced } from '../block-devices/replacement.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { leaveProcess } from '../process-events.ts';
import { version } from '../../server/version.ts';
import { Records } from '../supervisor/records.ts';
import type { Service } from '../supervisor/service-process.ts';
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
  const { configuration } = loaded;
  await lockPlace(configuration);
  const serve = snapshotter(configuration, input, environment);
  const services = [
    holder(configuration, environment),
    blockDaemon(configuration, input, environment),
    serve,
  ];
  const records = new Records(`${configuration.address}.up.json`);
  const supervisor = new Supervisor({ services, records, say });
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
  // One that was started here says it itself.
  if (supervisor.isTakenOver(serve)) notifyServiceManager('READY=1', environment['NOTIFY_SOCKET']);
  await told;
  process.exitCode = (await supervisor.stop()) ? exitCodes.success : exitCodes.failure;
}

/** Keeps others away that would supervise the same services, until the process ends. */
async function lockPlace({ address }: Configuration): Promise<void> {
  await makeDirectory(dirname(address));
  const lock = lockFile(`${address}.up.lock`);
  if (lock.ok) return;
  const { code } = lock;
  const who = 'holderPid' in lock ? `another varve up (process ${lock.holderPid})` : 'another one';
  const message =
    code === 'EAGAIN'
      ? `${who} runs the services of ${address}: end it first, or choose another --address`
      : `the lock ${address}.up.lock cannot be taken (${code}): look at its folder, or run as root`;
  throw new CliFailure(exitCodes.failure, message);
}

function say(line: string): void {
  process.stderr.write(`varve up: ${printable(line)}\n`);
}

const holderAddressOf = ({ blockDaemonAddress }: Configuration): string =>
  `${blockDaemonAddress}.holder`;

function holder(configuration: Configuration, environment: Environment): Service {
  const address = holderAddressOf(configuration);
  const argv = [findNativeFile('varve-bd-holder'), '--socket', address] as const;
  return {
    name: 'varve-bd-holder',
    argv,
    environment: silenced(environment),
    address,
    place: address,
    placeOption: 'blockDaemonAddress in the configuration',
    settings: JSON.stringify([argv, version]),
    // What it holds would be lost.
    isReplaceable: () => Promise.resolve(false),
    endSignal: 'SIGTERM',
    endMeans: 'the devices of varve-bd then end with that',
  };
}

/** That everything is ready is for varve serve to say, which comes last. */
const silenced = (environment: Environment): Environment => ({
  ...environment,
  NOTIFY_SOCKET: undefined,
});

function blockDaemon(
  configuration: Configuration,
  { blockConfig, logLevel }: UpInput,
  environment: Environment,
): Service {
  const { blockDaemonAddress, transport } = configuration;
  const options = [
    ...option('--holder', holderAddressOf(configuration)),
    // By itself it touches nothing of the target.
    ...(transport === 'tcmu' ? ['--tcmu'] : []),
    ...option('--config', blockConfig),
    ...option('--log-level', logLevel?.toLowerCase()),
  ];
  const argv = [findNativeFile('varve-bd'), '--socket', blockDaemonAddress, ...options] as const;
  return {
    name: 'varve-bd',
    argv,
    environment: silenced(environment),
    address: blockDaemonAddress,
    place: blockDaemonAddress,
    placeOption: 'blockDaemonAddress in the configuration',
    settings: JSON.stringify([argv, version]),
    isReplaceable: () => canBeReplaced(blockDaemonAddress, environment),
    endSignal: 'SIGINT',
    endMeans: 'its devices go with it: stop the containers on them before',
  };
}

function snapshotter(
  configuration: Configuration,
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
  const argv = [process.execPath, ...process.execArgv, program, 'serve', ...options] as const;
  const { address } = configuration;
  return {
    name: 'varve serve',
    argv,
    environment,
    address,
    place: `the root ${configuration.root} on ${address}`,
    placeOption: '--address',
    settings: JSON.stringify([argv, configuration, version]),
    isReplaceable: () => Promise.resolve(true),
    endSignal: 'SIGTERM',
    endMeans: 'containers do not notice',
  };
}

const option = (name: string, value: string | undefined): readonly string[] =>
  value === undefined ? [] : [name, value];
