// What may be completed, read from the definition of the command: subcommands, options, and what
// kind of value an option takes.
import type { Argument, Command, Option } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;

export interface Entry {
  /** The words after `varve`, for example `config dump`; '' for varve itself. */
  readonly path: string;
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly EntryOption[];
  /** Whether its argument is a file. */
  readonly takesFile: boolean;
  /** Words that its argument may be. */
  readonly argumentWords: readonly string[];
}

export interface EntryOption {
  /** `--address`, `-a`: every form of it. */
  readonly names: readonly string[];
  readonly description: string;
  readonly value: 'none' | 'file' | 'text';
}

/** Commands that take a second word, as a pattern of the shells. */
export const groupsOf = (entries: readonly Entry[]): string =>
  entries
    .filter((entry) => entry.path !== '' && entry.subcommands.length > 0)
    .map((entry) => entry.path)
    .join('|');

/** The options whose next word is a value of this kind, as a pattern of the shells. */
export function optionsWith(
  entries: readonly Entry[],
  ...values: readonly EntryOption['value'][]
): string {
  const wanted = entries.flatMap(({ options }) =>
    options.filter(({ value }) => values.includes(value)).flatMap(({ names }) => names),
  );
  return [...new Set(wanted)].join('|');
}

/** What may follow, in one line. */
export const candidatesOf = ({ subcommands, argumentWords, options }: Entry): string =>
  [
    ...subcommands.map(({ name }) => name),
    ...argumentWords,
    ...options.flatMap(({ names }) => names),
  ].join(' ');

/** The command and all below it. */
export function entriesOf(command: Command, path = ''): readonly Entry[] {
  const isProgram = path === '';
  const below = command.commands.flatMap((child) =>
    entriesOf(child, isProgram ? child.name() : `${path} ${child.name()}`),
  );
  const subcommands = command.commands.map((child) => ({
    name: child.name(),
    description: child.description(),
  }));
  const own: Entry = {
    path,
    subcommands,
    options: [...command.options.map(entryOption), helpOption],
    takesFile: command.registeredArguments.some((argument) => namesFile(argument.name())),
    argumentWords: command.registeredArguments.flatMap((one) =>
      wordsOf(one, command.parent ?? command),
    ),
  };
  return [own, ...below];
}

const helpOption: EntryOption = {
  names: ['--help', '-h'],
  description: 'show the help',
  value: 'none',
};

const namesFile = (placeholder: string): boolean => /file|socket|directory/.test(placeholder);

function wordsOf(argument: Argument, program: Command): readonly string[] {
  if (argument.name() === 'shell') return shells;
  return argument.name() === 'command' ? program.commands.map((child) => child.name()) : [];
}

function entryOption(option: Option): EntryOption {
  const value = namesFile(option.flags) ? 'file' : 'text';
  return {
    names: [option.long, option.short].filter((name) => name !== undefined),
    description: option.description,
    value: option.required ? value : 'none',
  };
}
