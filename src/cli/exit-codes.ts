// The exit codes of the varve command. Part of its interface (docs/cli.md): never renumbered.

export const exitCodes = {
  success: 0,
  /** Something went wrong that has no code of its own. */
  failure: 1,
  /** The command line was wrong. */
  usage: 2,
  /** The daemon cannot be reached. */
  unreachable: 3,
  /** There is no such snapshot, or no such block device. */
  notFound: 4,
  /** The position is not within the history. */
  outOfRange: 5,
  /** The log or a history file is damaged. */
  damaged: 6,
  /** verify: the log does not fold to the live state. */
  different: 7,
  /** The configuration is not valid. */
  configuration: 8,
  /** The user may not do this. */
  permission: 9,
  /** Ended by Ctrl-C. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What each code means, for the reference. */
export const exitCodeMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  success: 'done',
  failure: 'a failure that has no code of its own',
  usage: 'wrong command line',
  unreachable: 'the daemon cannot be reached, or it is starting or stopping',
  notFound: 'no such snapshot, or no such block device',
  outOfRange: 'the position is not within the history',
  damaged: 'the log or the history file is damaged',
  different: '`verify`: the history does not fold to the live state',
  configuration: 'the configuration is not valid',
  permission: 'permission denied',
  interrupted: 'ended by Ctrl-C',
};

/** A failure that is told to the user in one line: what happened, to what, why, what to do next. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure';
  readonly exitCode: ExitCode;
  constructor(exitCode: ExitCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.exitCode = exitCode;
  }
}
