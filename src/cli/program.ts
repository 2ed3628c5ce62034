// The definition of the varve command: every subcommand, option and sentence of help. What a
// subcommand does is loaded when it runs, so that the quick ones start quickly.
import { Command, type CommanderError, InvalidArgumentError, Option } from 'commander';
import { adminSocketName, defaultAddress, defaultConfigPath } from '../config/configuration.ts';
import { environmentNames } from '../config/load.ts';
import { nearestName } from '../config/nearest.ts';
import { blockSocketVariable, defaultBlockSocket } from './block-devices/socket.ts';
import { commandContext } from './command-context.ts';
import type { CommandContext } from './command-context.ts';
import { version } from '../server/version.ts';
import { CliFailure, exitCodes } from './exit-codes.ts';

/**
 * Ends an action's import and call in one place: options of all levels, then the module's `run`.
 */
function action(
  load: () => Promise<{ readonly run: (context: CommandContext, input: never) => Promise<void> }>,
) {
  return async function act(this: Command, ...given: unknown[]): Promise<void> {
    const options = allOptions(this);
    const texts = given.slice(0, -2).filter((value) => value !== undefined);
    const { run } = await load();
    // Each module names the options that its command has above; the parser checked them.
    await run(commandContext(options), { ...options, arguments: texts } as never);
  };
}

function allOptions(command: Command): Record<string, unknown> {
  const parents = command.parent === null ? {} : allOptions(command.parent);
  return { ...parents, ...command.opts() };
}

/** A position of the log, or 0 for what was before the first. */
function positionOrBeginning(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('It must be a whole number, a position of the log.');
  }
  return value;
}

/** A number of something, which the daemon checks. */
function count(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('It must be a whole number.');
  }
  return value;
}

/** A position of the log. */
function position(text: string): number {
  const value = positionOrBeginning(text);
  if (value === 0) throw new InvalidArgumentError('Positions begin at 1.');
  return value;
}

const collected = (text: string, earlier: readonly string[] | undefined): readonly string[] => [
  ...(earlier ?? []),
  text,
];

function jsonOption(command: Command): Command {
  return command.option('--json', 'print JSON: one document, or one a line for streams');
}

function daemonOptions(command: Command): Command {
  return jsonOption(command)
    .option(
      '--address <socket>',
      `Snapshots socket of the daemon; the admin socket, ${adminSocketName}, lies beside it ` +
        `(default: $${environmentNames.address}, else ${defaultAddress})`,
    )
    .option(
      '--admin-address <socket>',
      'admin socket of the daemon ' +
        `(default: beside --address, else $${environmentNames.adminAddress})`,
    );
}

const fileOption = (): Option =>
  new Option('--file <file>', 'a history that varve export wrote, instead of the daemon; -: stdin');

/** The whole command, ready to parse. */
export function varveProgram(): Command {
  const program = new Command('varve')
    .description('A containerd snapshotter in which every layer is a recorded history')
    .enablePositionalOptions()
    .version(`varve ${version}`, '-V, --version', 'print the version')
    .showSuggestionAfterError(true)
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  // Common options may also stand before the subcommand.
  daemonOptions(program);
  addServe(program);
  addStateCommands(program);
  addDeviceCommands(program);
  addHistoryCommands(program);
  addFileCommands(program);
  addBlockDevices(program);
  addConvert(program);
  addConfig(program);
  addOthers(program);
  for (const command of commandsOf(program)) {
    command.exitOverride().configureOutput({ outputError: () => undefined });
    command.allowExcessArguments(false);
  }
  return program;
}

/** Every command below this one. */
export function commandsOf(command: Command): readonly Command[] {
  return command.commands.flatMap((child) => [child, ...commandsOf(child)]);
}

function addServe(program: Command): void {
  serveOptions(program.command('serve'))
    .description('run the snapshotter; flags win over the environment, and that over the file')
    .action(action(() => import('./commands/serve.ts')));
  serveOptions(program.command('up'))
    .description('run varve serve, varve-bd and its holder together, and start again what dies')
    .option('--block-config <file>', 'overlaybd.json for varve-bd')
    .action(action(() => import('./commands/up.ts')));
}

function serveOptions(command: Command): Command {
  return command
    .option('--root <directory>', 'data directory')
    .option('--address <socket>', 'unix socket of the Snapshots service, for containerd')
    .option('--admin-address <socket>', 'unix socket of the admin services')
    .option('--config <file>', `configuration file (default: ${defaultConfigPath} if it exists)`)
    .option('--log-level <level>', 'trace, debug, info, warn, error or fatal');
}

function addStateCommands(program: Command): void {
  daemonOptions(program.command('status'))
    .description('health, positions of the log, damage, space')
    .action(action(() => import('./commands/status.ts')));
  daemonOptions(program.command('ls'))
    .description('list the snapshots')
    .option('-a, --all', 'also removed ones whose directory is still there')
    .action(action(() => import('./commands/ls.ts')));
  daemonOptions(program.command('tree'))
    .description('draw the snapshots as a tree of layers')
    .option('-a, --all', 'also removed ones whose directory is still there')
    .action(action(() => import('./commands/tree.ts')));
  daemonOptions(program.command('show'))
    .description('show one snapshot: labels, mounts, chain, children, events')
    .argument('<key>', 'key or name of the snapshot, or #<id>')
    .action(action(() => import('./commands/show.ts')));
}

function addDeviceCommands(program: Command): void {
  daemonOptions(program.command('devices'))
    .description('list the block devices of snapshots: state, place, who leases them, trouble')
    .option('-a, --all', 'also those that are not attached and that nobody leases')
    .option('--at <position>', 'as they were at this position of the log', position)
    .option('--watch', 'again after whatever happens to one, until Ctrl-C')
    .addOption(fileOption())
    .action(action(() => import('./commands/devices.ts')));
  daemonOptions(program.command('attach'))
    .description('attach the device of a block layer, without a container, and print its place')
    .argument('<layer>', 'name of the layer, or #<id>')
    .action(action(() => import('./commands/attach.ts')));
  daemonOptions(program.command('detach'))
    .description('give back what varve attach has attached, or say who uses it still')
    .argument('<layer>', 'name of the layer, or #<id>')
    .action(action(() => import('./commands/detach.ts')));
}

function addHistoryCommands(program: Command): void {
  daemonOptions(program.command('why'))
    .description('tell the history of a snapshot in sentences, also of one that is removed')
    .argument('<key>', 'key or name of the snapshot, or #<id>')
    .addOption(fileOption())
    .action(action(() => import('./commands/why.ts')));
  daemonOptions(program.command('events'))
    .description('print the recorded events')
    .option('--from <position>', 'first position (default: the first that is there)', position)
    .option('--to <position>', 'last position (default: the newest)', position)
    .option('--follow', 'go on with every new event until Ctrl-C')
    .option(
      '--stream <stream>',
      'only this stream (snapshot-7, device-7, node, snapshot-*); repeatable',
      collected,
    )
    .option('--type <type>', 'only events of this type; repeatable', collected)
    .addOption(fileOption())
    .action(action(() => import('./commands/events.ts')));
  daemonOptions(program.command('replay'))
    .description('show the whole state of the node as it was at a position')
    .option('--at <position>', 'position of the log (default: the newest)', position)
    .addOption(fileOption())
    .action(action(() => import('./commands/replay.ts')));
  daemonOptions(program.command('diff'))
    .description('show what changed between two positions')
    .requiredOption(
      '--from <position>',
      'the earlier position; 0: the empty beginning',
      positionOrBeginning,
    )
    .option('--to <position>', 'the later position (default: the newest)', position)
    .addOption(fileOption())
    .action(action(() => import('./commands/diff.ts')));
  daemonOptions(program.command('verify'))
    .description('fold the whole history again and compare it with the live state')
    .addOption(fileOption())
    .action(action(() => import('./commands/verify.ts')));
}

function addFileCommands(program: Command): void {
  daemonOptions(program.command('export'))
    .description('write the whole history into a file, to be read on any machine')
    .argument('<file>', 'file to write, -: stdout')
    .action(action(() => import('./commands/export.ts')));
  daemonOptions(program.command('fsck'))
    .description('print what a start would put right on a root; exit code 1 if there is anything')
    .option('--root <directory>', 'data directory (default: that of the configuration)')
    .option('--config <file>', `configuration file (default: ${defaultConfigPath} if it exists)`)
    .option('--apply', 'put it right, as a start does; varve serve must be stopped')
    .action(action(() => import('./commands/fsck.ts')));
  daemonOptions(program.command('doctor'))
    .description('look at everything that varve needs, and say what to do; exit code 1 on problems')
    .option('--root <directory>', 'data directory (default: that of the configuration)')
    .option('--config <file>', `configuration file (default: ${defaultConfigPath} if it exists)`)
    .option('--containerd-config <file>', 'default: /etc/containerd/config.toml')
    .option('--docker-config <file>', 'default: /etc/docker/daemon.json')
    .option('--deadline <ms>', 'how long one look may take (default: 10000)', count)
    .action(action(() => import('./commands/doctor.ts')));
  jsonOption(program.command('repair'))
    .description('rebuild a damaged log while the daemon is down; says what was saved and lost')
    .requiredOption('--root <directory>', 'data directory of the daemon')
    .action(action(() => import('./commands/repair.ts')));
}

function blockOptions(command: Command): Command {
  return jsonOption(command).option(
    '--socket <socket>',
    `control socket of varve-bd (default: $${blockSocketVariable}, else ${defaultBlockSocket})`,
  );
}

function addBlockDevices(program: Command): void {
  const devices = program.command('bd').description('block devices made of layers, by varve-bd');
  blockOptions(devices.command('open'))
    .description('open an image as a block device and print its path')
    .argument('<config-file>', 'config.v1.json of the image')
    .option('--device <name>', 'name of the device (default: one that is free)')
    .option('--read-only', 'do not let it be written, though it has a writable layer')
    .addOption(
      new Option(
        '--transport <name>',
        'how it reaches the kernel (default: ublk where the kernel has it, else fuse)',
      ).choices(['ublk', 'fuse']),
    )
    .option('--deadline <ms>', 'give up after so many milliseconds (default: 60000)', count)
    .action(action(() => import('./commands/bd-open.ts')));
  blockOptions(devices.command('close'))
    .description('let go of a block device, or say who is in the way')
    .argument('<device>', 'name of the device')
    .addOption(
      new Option(
        '--mode <mode>',
        'while it is in use: refuse, let go when its last user does, or fail its users',
      ).choices(['if-unused', 'detach', 'abort']),
    )
    .option('--patience <ms>', 'how long to wait for it to be gone (default: 5000)', count)
    .action(action(() => import('./commands/bd-close.ts')));
  blockOptions(devices.command('ls'))
    .description('list the block devices')
    .action(action(() => import('./commands/bd-ls.ts')));
  blockOptions(devices.command('stats'))
    .description('show what block devices have read and written, how fast, and what failed')
    .argument('[device]', 'name of the device (default: all)')
    .option('--prometheus', 'print the metrics of all devices in the text format of Prometheus')
    .action(action(() => import('./commands/bd-stats.ts')));
  addBlockDeviceWork(devices);
}

function addBlockDeviceWork(devices: Command): void {
  blockOptions(devices.command('commit'))
    .description('write the writable layer of a block device into a finished layer file')
    .argument('<device>', 'name of the device')
    .argument('<output-file>', 'file to write, which must not be there yet')
    .addOption(
      new Option('--algorithm <algorithm>', 'compression (default: lz4)').choices([
        'none',
        'lz4',
        'zstd',
      ]),
    )
    .option('--block-size <bytes>', 'bytes that are compressed as one (default: 4096)', count)
    .option('--tar', 'wrap the layer in a tar archive, as registries carry it')
    .option('--user-tag <text>', 'text that is kept in the layer')
    .option('--uuid <uuid>', 'uuid of the layer (default: that of the writable layer)')
    .option('--parent-uuid <uuid>', 'uuid of the layer below')
    .action(action(() => import('./commands/bd-commit.ts')));
  blockOptions(devices.command('seal'))
    .description('finish the writable layer of a block device where it lies')
    .argument('<device>', 'name of the device')
    .action(action(() => import('./commands/bd-seal.ts')));
  blockOptions(devices.command('resize'))
    .description('give a writable block device another size')
    .argument('<device>', 'name of the device')
    .argument('<size>', 'bytes, or a number with K, M, G or T')
    .action(action(() => import('./commands/bd-resize.ts')));
  blockOptions(devices.command('events'))
    .description('print what happens to block devices until Ctrl-C')
    .action(action(() => import('./commands/bd-events.ts')));
}

function addConvert(program: Command): void {
  jsonOption(program.command('convert'))
    .description('make an image of overlaybd layers of an ordinary one')
    .argument('<in>', 'OCI image layout: an archive, or a folder')
    .argument('<out>', 'what to make: an archive if the name ends with .tar, else a folder')
    .option(
      '--platform <platform>',
      'only this platform of the image (linux/amd64); repeatable (default: all)',
      collected,
    )
    .option('--name <name>', 'name of the image, if there is but one (default: the one it has)')
    .addOption(
      new Option('--compression <algorithm>', 'compression (default: lz4)').choices([
        'lz4',
        'zstd',
      ]),
    )
    .option(
      '--vsize <size>',
      'size of the device: a number of GiB, or one with B, K, M, G or T (default: 64)',
    )
    .action(action(() => import('./commands/convert.ts')));
}

function addConfig(program: Command): void {
  const config = program.command('config').description('the configuration of varve serve');
  jsonOption(config.command('default'))
    .description('print a configuration file to begin with, every value at its default')
    .action(action(() => import('./commands/config-default.ts')));
  jsonOption(config.command('check'))
    .description('check a configuration file and name every problem in it')
    .argument('<file>', 'the file to check')
    .action(action(() => import('./commands/config-check.ts')));
  daemonOptions(config.command('dump'))
    .description('show the effective values and where each came from')
    .option('--config <file>', 'not those of the daemon: those that this file would give')
    .action(action(() => import('./commands/config-dump.ts')));
}

function addOthers(program: Command): void {
  jsonOption(program.command('version'))
    .description('print the version')
    .action(action(() => import('./commands/version.ts')));
  program
    .command('completion')
    .description('print a completion script for a shell')
    .argument('<shell>', 'bash, zsh or fish')
    .action(action(() => import('./commands/completion.ts')));
  program
    .command('help')
    .description('show the help of a command')
    .argument('[command...]', 'the command')
    .action((names: readonly string[]) => commandNamed(program, names).outputHelp());
}

function commandNamed(program: Command, names: readonly string[]): Command {
  let command = program;
  for (const name of names) {
    const known = command.commands.map((child) => child.name());
    const child = command.commands[known.indexOf(name)];
    if (child === undefined) {
      const nearest = nearestName(name, known);
      const next = nearest === undefined ? allHelp : `did you mean ${nearest}?`;
      throw new CliFailure(exitCodes.usage, `unknown command '${name}'; ${next}`);
    }
    command = child;
  }
  return command;
}

const allHelp = 'varve help shows what there is';

/** A wrong command line as the one line that the user is told. */
export function usageFailure(error: CommanderError): CliFailure {
  const message = error.message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*\(Did you mean (.*)\?\)/, '; did you mean $1?')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
  const next = message.endsWith('?') ? '' : `; ${allHelp}`;
  return new CliFailure(exitCodes.usage, message + next, error);
}
