// Writes docs/cli.md from the definition of the command and docs/configuration.md from the table
// of keys. With `--print cli` or `--print configuration` the text goes to stdout instead, which is
// how a test finds out whether the files are current.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { adminSocketName, defaultAddress, defaultConfigPath } from '../src/config/configuration.ts';
import { environmentNames } from '../src/config/load.ts';
import { configurationKeys } from '../src/config/keys.ts';
import type { ConfigurationKey } from '../src/config/keys.ts';
import { blockSocketVariable } from '../src/cli/block-devices/socket.ts';
import { exitCodeMeanings, exitCodes } from '../src/cli/exit-codes.ts';
import { varveProgram } from '../src/cli/program.ts';

const checkout = fileURLToPath(new URL('..', import.meta.url));
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

function usage(command: Command, path: string): string {
  const names = command.registeredArguments.map((one) => `<${one.name()}>`);
  const options = command.options.length > 0 ? ['[options]'] : [];
  return [path, ...options, ...names].join(' ');
}

function commandSections(command: Command, path: string): readonly string[] {
  if (command.commands.length > 0) {
    return command.commands.flatMap((child) => commandSections(child, `${path} ${child.name()}`));
  }
  const lines = [`### ${path}`, '', sentence(command.description()), '', '```'];
  lines.push(usage(command, path), '```', '');
  const own = command.options.filter(({ long }) => !commonOptions.includes(long ?? ''));
  const rows = [
    ...command.registeredArguments.map((one) => [`<${one.name()}>`, one.description]),
    ...own.map((one) => [one.flags, one.description]),
  ];
  if (rows.length === 0) return lines;
  const isServe = path === 'varve serve' || path === 'varve up';
  const shown = isServe
    ? command.options.map((one) => [one.flags, one.description])
    : (rows as readonly string[][]);
  return [...lines, ...table(['argument or option', 'meaning'], shown), ''];
}

const commonOptions = ['--json', '--address', '--admin-address'];

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(titles),
    `|${titles.map(() => '---').join('|')}|`,
    ...rows.map(([name = '', ...rest]) => line([`\`${name}\``, ...rest.map(cell)])),
  ];
}

function cliReference(): string {
  const program = varveProgram();
  const common = program.options.filter(({ long }) => commonOptions.includes(long ?? ''));
  const codes = Object.entries(exitCodes).map(([name, code]) => [
    String(code),
    name,
    exitCodeMeanings[name as keyof typeof exitCodes],
  ]);
  return [
    '# Commands',
    '',
    'Generated from `src/cli` by `make docs`; do not edit.',
    '',
    'Every command but `serve`, `up`, `repair`, `bd …`, `convert`, `config default`, `config check`,',
    '`version`, `completion` and `help` asks the daemon, over its admin socket. `why`, `events`,',
    '`replay`, `diff`, `verify` and `devices` also work on an exported history, without a daemon, on',
    'any machine: `--file FILE`. `fsck` reads the root itself while no daemon serves it, else it asks',
    'the daemon, and so does `doctor`, which also looks at the machine.',
    '`bd …` asks `varve-bd`, over its control socket ([block-daemon.md](block-daemon.md)).',
    '[convert.md](convert.md) has more about `convert`.',
    '',
    '## Options of every command',
    '',
    'They may also stand before the command. `serve`, `up`, `completion` and `help` have no `--json`;',
    'those that need no daemon have no addresses. With `--json` the output is one document, or one document a',
    'line for `events`, `devices --watch` and `export -`.',
    '',
    ...table(
      ['option', 'meaning'],
      common.map((one) => [one.flags, one.description]),
    ),
    '',
    'Colour and shortened keys are for terminals only; `NO_COLOR` switches colour off. On anything',
    'else every key is printed in full. Times are UTC. Control characters in names are printed as',
    'escapes (`\\x1b`).',
    '',
    '## A key, a name, or `#ID`',
    '',
    '`show`, `why`, `attach` and `detach` take the key of a snapshot, the name that it was committed under, or `#` and',
    'its id (quoted, since `#` begins a comment in a shell). Keys are free text, so one may look like',
    'an id: `show` then takes the snapshot that bears the key, `why` tells both histories.',
    '',
    '## Environment',
    '',
    ...table(['variable', 'meaning'], environmentRows),
    '',
    '## Exit codes',
    '',
    'A command that fails prints one line on stderr: what happened, to what, why, and what to do',
    'next (`config check` and `serve` print one for each problem of a configuration).',
    '',
    ...table(['code', 'name', 'meaning'], codes),
    '',
    '## Commands',
    '',
    ...commandSections(program, 'varve'),
    ...documents,
  ]
    .join('\n')
    .replace(/\n+$/, '\n');
}

const environmentRows = [
  [environmentNames.address, 'as `--address`, for `serve` too; a flag wins'],
  [environmentNames.adminAddress, 'as `--admin-address`, for `serve` too; a flag wins'],
  [blockSocketVariable, 'as `--socket` of `bd …`; a flag wins'],
  ['NO_COLOR', 'no colour on a terminal'],
  ['VARVE_DEBUG', '`1`: a failure that was not expected is printed with its stack'],
  [
    'VARVE_NATIVE_DIR',
    'where `serve`, `up`, `repair` and `convert` find the native library and the native programs; ' +
      'default: `build/native` of the checkout',
  ],
] as const;

const documents = [
  '## Documents',
  '',
  'Each JSON document begins with `format` and `version`, but for the file that `config default`',
  'prints and for the lines of `events`. Fields are added, never renamed or removed, while `version`',
  'stays.',
  '',
  '- **state** (`varve-state`: `ls`, `replay`): `position` (globalSeq of the last event folded',
  '  in), `time` of that event, `node` (`version`, `bootId`, `started`, `isRunning`, `horizonSeq`,',
  '  `idsReservedUpTo`, `revision`), `snapshots`: each with `id`, `key`, `kind` (`view`, `active`,',
  '  `committed`; null: clients no longer see it), `role`, `lifecycle`, `backing`, `deviceId` (the',
  '  device that it leases, or null), `fileSystem` (of a block layer, or null), `parent`,',
  '  `parentId`, `labels`, `created`, `updated`, `usage` (`sizeBytes`, `inodeCount`; null before',
  '  Commit), `operation` (what is going on, or null), `lastFailure`, `revision`, `lastSeq`; and',
  '  `devices`: each with `id` (of the snapshot whose chain it shows), `state`, `path`, `sizeBytes`,',
  '  `access`, `mount`, `fileSystem`, `mountOptions`, `leases` (`snapshotId`, `purpose`), `lingersUntil`,',
  '  `operation`, `lastFailure`, `revision`, `lastSeq`.',
  '- **devices** (`varve-devices`: `devices`): `position`, `time`, `figuresMissing` (why `figures` are',
  '  null; else null), `devices`: each as in the state, with `key` (of its topmost layer; null: removed),',
  '  `chain` (the layers below, the nearest first, `id` and `key`), `mountPoint` (null while it is not',
  '  mounted, and with `--file`), `leases` with `key`, `transport`, `figures` since it was attached',
  '  (`readCount`, `readBytes`, `writeCount`, `writtenBytes`, `errorCount`, `damageCount`, `directIo`;',
  '  null with `--at` and `--file`), and `lastTrouble` (the newest event that tells of a failure or a',
  '  loss, within the last 100,000: `globalSeq`, `time`, `type`, `reason`, `failure`; null with',
  '  `--file`).',
  '- **attach** (`varve-attach`: `attach`): `deviceId`, `path`, `mountPoint`, `fileSystem`, `sizeBytes`,',
  '  `wasAttached`.',
  '- **detach** (`varve-detach`: `detach`): `deviceId`, `wasAttached`, `state` (of the device: `absent`',
  '  once it is gone), `leases` (who uses it still: `snapshotId`, `key`, `purpose`).',
  '- **fsck** (`varve-fsck`: `fsck`): `root`, `position`, `isServed` (whether the daemon answered),',
  '  `findings` (`kind`, `subject`, `found`, `action`: what a start does about it, `isFault`),',
  '  `remaining` (the same, after `--apply`; else null). `kind` is `snapshotInFlight`,',
  '  `orphanedDirectory`, `unexplainedDirectory`, `missingDirectory`, `foreignEntry`, `mountOfNobody`,',
  '  `leaseOfNobody`, `lostDevice`, `idleDevice`, `unleasedDevice`, `deviceInFlight`, `strayDevice` or',
  '  `unseenDevices`.',
  '  Exit status 1 if there are faults (with `--apply`: if any are left), else 0.',
  '- **doctor** (`varve-doctor`: `doctor`): `problemCount` and `lines`: each with `topic`, `name`,',
  '  `verdict` (`ok`, `note`, `problem`), `found`, `how` (what was looked at), `next` (what to do; null:',
  '  nothing). Exit status 1 if there are problems, else 0.',
  '- **tree** (`varve-tree`): the same snapshots, parents before children, each with its `depth`.',
  '- **snapshot** (`varve-snapshot`: `show`): one snapshot of the state with `mounts` (null where',
  '  there are none), `chain` (ancestors, the nearest first), `children`, `events` (positions).',
  '- **why** (`varve-why`): `histories`, one for each snapshot that ever bore the key, with',
  '  `sentences` (`globalSeq`, `revision`, `time`, `type`, `tone`, `text`, `requestId`), `now`,',
  '  `isInFlight`, and `lost` (`fromSeq`, `toSeq`).',
  '- **diff** (`varve-diff`): `from`, `to`, `added`, `removed`, `changed` (`id`, `key`, `changes`:',
  '  `field`, `from`, `to`), `node` (changes).',
  '- **verify** (`varve-verify`): `equal`, `position`, `firstSeq`, `checkedEventCount`,',
  '  `differences` (the first of `differenceCount`), `damage`, `lost`.',
  '- **status** (`varve-status`): `condition`, `problem`, `damage` (of the log; while it serves, of',
  '  history, as far as it was found), `log`, `snapshotCounts`, `space` and more. `condition` is',
  '  `starting`, `serving`, `damaged`, `disk-full` (the log is opened as soon as there is room) or',
  '  `stopping`.',
  '- **configuration** (`varve-configuration`: `config dump`): `configuration`, `origins`.',
  '- **repair** (`varve-repair`): `status`, `lastSeq`, `firstSeq`, `lost`,',
  '  `givenUp` (`snapshotId`, `key`, `reason`), `notes`, `keptIn`.',
  '- **convert** (`varve-convert`): `output`, `images` (`title`, `digest` of the manifest, `layers`:',
  '  `digest`, `sizeBytes`, `sourceDigest`, `sourceBytes`), `leftOut` (`what`, `reason`).',
  '- **export** (`varve-export`: `export FILE`): `file`, `sizeBytes`.',
  '- **check** (`varve-check`: `config check`): `file`, `isValid`, `problems`.',
  '- **block devices** (`varve-bd-open`, `varve-bd-close`, `varve-bd-devices`: `bd ls`,',
  '  `varve-bd-stats`, `varve-bd-commit`, `varve-bd-seal`, `varve-bd-resize`): what the daemon answers,',
  '  described in [block-daemon.md](block-daemon.md), as are the lines of `bd events`; of a `bd close`',
  '  that is refused because the device is in use (exit status 1) also `code` and `message`.',
  '- **version** (`varve-version`): `varve`, `node`, `platform`, `arch`.',
  '- **event** (`events`, one a line): described in [events.md](events.md), with `time`,',
  '  which is `timeUs` as text, besides.',
  '',
  '## Exported histories',
  '',
  '`varve export` writes lines of JSON, each with a `kind`: a `header` (`format`',
  '`varve-history`, `version`, the positions covered), `retained` events that are older than the',
  'checkpoint, of snapshots that live on, a `checkpoint` followed by a `snapshot` line for each of',
  'its snapshots (left out when the events begin at 1), every later `event` with its hashes, and a',
  '`trailer` with the count of events, a hash of the state that the node had, and a hash of all',
  'bytes before it. A reader refuses a file that is cut or altered and names the line; one that',
  'was cut can be replayed up to its last whole event with `--at`. Of a damaged log `varve export`',
  'writes such a file, up to the damage, and ends with 6.',
  '',
  'The file appears under its name only when it is complete. A link leads to its file; a device or a',
  'pipe is written as it is.',
];

function keyRows(owner: ConfigurationKey['owner']): readonly (readonly string[])[] {
  return configurationKeys
    .filter((key) => key.owner === owner)
    .map(({ name, defaultValue, summary, isLater }) => {
      const note = isLater === true ? ' Only the default is accepted in this version.' : '';
      return [name, `\`${JSON.stringify(defaultValue)}\``, summary + note];
    });
}

function configurationReference(): string {
  const titles = ['key', 'default', 'meaning'];
  return [
    '# Configuration',
    '',
    'Generated from `src/config` by `make docs`; do not edit.',
    '',
    '`varve serve` takes each value from a flag, else from the environment, else from the file,',
    'else from the default. The file is the one that `--config` names, else',
    `\`${defaultConfigPath}\` if it exists; it is JSON.`,
    '`varve config default` prints one to begin with (without `adminAddress`, which follows',
    '`address`), `varve config check FILE` names every problem of one, and `varve config dump`',
    'shows the values that a daemon runs with and where each came from.',
    '',
    'All of it is checked once, at start, before anything is touched, and every problem is named.',
    'An unknown key is refused with the nearest valid name; a wrong type is named with what',
    'was got and what is wanted. Names match whatever their case; `null` leaves the default.',
    '',
    '| flag | environment | key |',
    '|---|---|---|',
    '| `--root` | | `root` |',
    '| `--address` | `VARVE_ADDRESS` | `address` |',
    '| `--admin-address` | `VARVE_ADMIN_ADDRESS` | `adminAddress` |',
    '| `--log-level` | | `logLevel` |',
    '',
    'Paths in the file are absolute; on the command line they may be relative to where one stands.',
    `The Snapshots socket is \`${defaultAddress}\` unless it is named, the admin socket`,
    `\`${adminSocketName}\` beside it, unless it is named at the same level or a stronger one: a flag`,
    '`--address` moves also an admin socket that the environment or the file names.',
    '',
    '## Keys of config.json as overlaybd-snapshotter knows them',
    '',
    'An existing `/etc/overlaybd-snapshotter/config.json` works as it is as long as the keys whose',
    'function comes with a later release are at their defaults; another value is refused by name.',
    'Unlike there, a level name or `runtimeType` that does not exist is refused, not replaced.',
    '',
    ...table(titles, keyRows('upstream')),
    '',
    '## Keys of varve',
    '',
    ...table(titles, keyRows('varve')),
    '',
    'A key with a dot is a member of an object: `{"retention": {"maxAgeMs": 604800000}}`.',
  ]
    .join('\n')
    .concat('\n');
}

const texts: Readonly<Record<string, () => string>> = {
  cli: cliReference,
  configuration: configurationReference,
};
const printed = process.argv[process.argv.indexOf('--print') + 1];
if (process.argv.includes('--print')) {
  process.stdout.write(texts[printed ?? '']?.() ?? '');
} else {
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(`${checkout}docs/${name}.md`, text());
  }
}
