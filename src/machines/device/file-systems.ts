// File systems on block devices: how a new one is made, and how one is mounted. They are asked for
// in upstream's form `name[;mount options[;mkfs arguments]]`, by the configuration and by labels.
// Labels come from images and pods, and mount(2) and mkfs run as root: only what is known to do no
// harm beyond the device itself is taken.
import { accepted, rejected, type Result } from '../kernel/rejection.ts';
import { shorten } from '../kernel/text.ts';

interface KnownFileSystem {
  /** As mount(2) takes it. */
  readonly type: string;
  /** What mkfs gets if nothing is said; null: it cannot be made on a device. */
  readonly formatArguments: readonly string[] | null;
  /** Options of mount(2) for a device that is written, if nothing is said. */
  readonly mountOptions: readonly string[];
  /** Those without which one that is only read cannot be mounted beside its copies. */
  readonly readOnlyMountOptions: readonly string[];
  readonly harmlessMountOptions: RegExp;
  /** Arguments of mkfs that stand alone: a word behind one would name another device. */
  readonly harmlessFormatSwitches: readonly string[];
  /** Those that a value follows. */
  readonly harmlessFormatFlags: readonly string[];
}

const harmless = (...options: readonly string[]): RegExp =>
  new RegExp(`^(?:${['noatime', 'relatime', ...options].join('|')})$`);

const discards = ['discard', 'nodiscard'];
const ext4Options = ['noload', 'norecovery', 'barrier', 'nobarrier', 'data=(?:ordered|writeback)'];

// Where today's mkfs refuses upstream's arguments, or they are of no use, others stand here:
// docs/adr/0021-new-file-systems.md.
const known: Readonly<Record<string, KnownFileSystem>> = {
  ext4: {
    type: 'ext4',
    formatArguments: ['-O', '^has_journal,sparse_super,flex_bg', '-G', '1', '-E', 'discard', '-F'],
    mountOptions: ['discard'],
    readOnlyMountOptions: [],
    harmlessMountOptions: harmless(...discards, ...ext4Options),
    harmlessFormatSwitches: ['-F', '-q'],
    harmlessFormatFlags: ['-O', '-b', '-C', '-E', '-g', '-G', '-i', '-I', '-m', '-N'],
  },
  xfs: {
    type: 'xfs',
    formatArguments: ['-f'],
    // Images are copies of each other, with one UUID.
    mountOptions: ['nouuid', 'discard'],
    readOnlyMountOptions: ['nouuid'],
    harmlessMountOptions: harmless(
      ...discards,
      'nouuid',
      'norecovery',
      'inode32',
      'inode64',
      'largeio',
    ),
    harmlessFormatSwitches: ['-f', '-K', '-q'],
    harmlessFormatFlags: ['-b', '-i', '-m', '-n', '-s'],
  },
  f2fs: {
    type: 'f2fs',
    formatArguments: ['-w', '4096'],
    mountOptions: [],
    readOnlyMountOptions: [],
    harmlessMountOptions: harmless(...discards, 'norecovery', 'background_gc=(?:on|off)'),
    harmlessFormatSwitches: ['-f', '-i', '-q', '-S'],
    harmlessFormatFlags: ['-O', '-w'],
  },
  ntfs: {
    type: 'ntfs3',
    formatArguments: ['-F', '-f'],
    mountOptions: [],
    readOnlyMountOptions: [],
    harmlessMountOptions: harmless(...discards, 'acl', 'sparse', 'prealloc'),
    harmlessFormatSwitches: ['-f', '-F', '-q', '-Q'],
    harmlessFormatFlags: ['-c', '-s'],
  },
  erofs: {
    type: 'erofs',
    formatArguments: null,
    mountOptions: [],
    readOnlyMountOptions: [],
    harmlessMountOptions: harmless(),
    harmlessFormatSwitches: [],
    harmlessFormatFlags: [],
  },
};

const names: Readonly<Record<string, string>> = { ntfs3: 'ntfs' };

const knownBy = (name: string): KnownFileSystem | undefined => {
  const ours = names[name] ?? name;
  return Object.hasOwn(known, ours) ? known[ours] : undefined;
};

/** Whether a file system can be written at all. */
export const isWritable = (fileSystem: string): boolean =>
  (knownBy(fileSystem)?.formatArguments ?? null) !== null;

/** Options of mount(2) for a device that is only read, if nothing is said. */
export const readOnlyMountOptions = (fileSystem: string): string =>
  (knownBy(fileSystem)?.readOnlyMountOptions ?? []).join(',');

/**
 * The same if `text`, in the form of above, asks for some; `source` names where it stands.
 * `fileSystem` is the one that is there, if that is known: what is allowed depends on it.
 */
export function askedMountOptions(
  text: string,
  source: string,
  fileSystem: string | undefined,
): Result<string> {
  const [name = '', mountOptions = ''] = text.split(';');
  const type = fileSystem ?? name;
  const found = knownBy(type);
  const asked = mountOptions.split(',').filter((option) => option !== '');
  const bad = asked.find((option) => found?.harmlessMountOptions.test(option) !== true);
  if (bad !== undefined) {
    return rejected(
      'invalid_argument',
      `${source} is ${JSON.stringify(shorten(text))}: mount option ${shorten(bad)} is not allowed ` +
        `with ${found?.type ?? JSON.stringify(shorten(type))}`,
    );
  }
  const needed = found?.readOnlyMountOptions ?? [];
  return accepted([...new Set([...needed, ...asked])].join(','));
}

/** Options of mount(2) for a device that is written. */
export const writableMountOptions = (fileSystem: string): string =>
  (knownBy(fileSystem)?.mountOptions ?? []).join(',');

/** A new file system and how it is mounted. */
export interface NewFileSystem {
  /** As mount(2) takes it. */
  readonly fileSystem: string;
  readonly mountOptions: string;
  readonly formatArguments: readonly string[];
}

/** What `name[;mount options[;mkfs arguments]]` asks for; `source` names where it stands. */
export function newFileSystem(text: string, source: string): Result<NewFileSystem> {
  const [name = '', mountOptions, formatArguments, ...rest] = text.split(';');
  const refused = (problem: string): Result<never> =>
    rejected('invalid_argument', `${source} is ${JSON.stringify(shorten(text))}: ${problem}`);
  const found = knownBy(name);
  if (found?.formatArguments === null) {
    return refused(`a file system of type ${name} cannot be made on a device: choose another`);
  }
  if (found === undefined) {
    return refused('the file systems that can be made are ext4, xfs, f2fs and ntfs');
  }
  if (rest.length > 0) return refused('it has more than three parts');
  const badOption = (mountOptions ?? '')
    .split(',')
    .find((option) => option !== '' && !found.harmlessMountOptions.test(option));
  if (badOption !== undefined) return refused(`mount option ${badOption} is not allowed there`);
  const args = formatArguments?.split(' ').filter((argument) => argument !== '');
  const badArgument = args?.find((argument, index) => !isHarmless(argument, index, args, found));
  if (badArgument !== undefined)
    return refused(`mkfs argument ${badArgument} is not allowed there`);
  return accepted({
    fileSystem: found.type,
    mountOptions: mountOptions ?? found.mountOptions.join(','),
    formatArguments: args ?? found.formatArguments,
  });
}

/** A known flag, or the value of one: features, numbers and sizes, but no path. */
function isHarmless(
  argument: string,
  index: number,
  all: readonly string[],
  { harmlessFormatSwitches, harmlessFormatFlags }: KnownFileSystem,
): boolean {
  const takesValue = (flag: string | undefined): boolean =>
    flag !== undefined && harmlessFormatFlags.includes(flag);
  // A flag without its value would take the device for it.
  if (takesValue(argument)) return index + 1 < all.length;
  return takesValue(all[index - 1])
    ? /^[\w^,.=:]+$/.test(argument)
    : harmlessFormatSwitches.includes(argument);
}
