// `varve up` as a process of a test, in a place of its own, and what runs there.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { program, varve } from '../cli/varve.ts';
import type { Scratch } from '../e2e/lab/scratch.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { isServing } from '../e2e/lab/snapshotter.ts';

export interface Place {
  readonly scratch: Scratch;
  readonly directory: string;
  readonly address: string;
  readonly blockAddress: string;
  readonly config: string;
  readonly argv: readonly string[];
}

type Settings = Readonly<Record<string, unknown>>;

/** A place of its own for one run; `settings` go into the configuration. */
export function makePlace(scratch: Scratch, name: string, settings: Settings = {}): Place {
  const directory = join(scratch.path, name);
  mkdirSync(directory);
  const address = join(directory, 'varve.sock');
  const blockAddress = join(directory, 'bd', 'bd.sock');
  const config = join(directory, 'config.json');
  const argv = ['up', '--config', config];
  const place = { scratch, directory, address, blockAddress, config, argv };
  configure(place, settings);
  // What a supervisor leaves that is killed has no parent that would end it.
  scratch.defer(async () => {
    for (const pid of processesOf(place)) process.kill(pid, 'SIGKILL');
  });
  return place;
}

/** Writes the configuration anew. */
export function configure(place: Place, settings: Settings): void {
  const { directory, address, blockAddress, config } = place;
  const own = { root: join(directory, 'root'), address, blockDaemonAddress: blockAddress };
  writeFileSync(config, JSON.stringify({ ...own, ...settings }));
}

export class Up {
  readonly process: ChildProcess;
  readonly said: string[] = [];
  readonly ended: Promise<unknown>;

  constructor({ scratch, argv }: Place, { more = [], before = [] }: UpOptions = {}) {
    const [command = '', ...rest] = [...before, process.execPath, program, ...argv, ...more];
    const { VARVE_ADDRESS: _one, VARVE_ADMIN_ADDRESS: _other, ...environment } = process.env;
    this.process = spawn(command, rest, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    this.ended = once(this.process, 'exit');
    this.process.stdout?.resume();
    if (this.process.stderr !== null) {
      createInterface(this.process.stderr).on('line', (line) => this.said.push(line));
    }
    // `unshare` does not pass SIGTERM on.
    scratch.defer(() => this.end(before.length === 0 ? 'SIGTERM' : 'SIGKILL'));
  }

  /** What it said itself, and not its services. */
  get own(): readonly string[] {
    return this.said.filter((line) => /^varve(?: up)?: /.test(line));
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const { exitCode, signalCode } = this.process;
    if (exitCode === null && signalCode === null) this.process.kill(signal);
    await this.ended;
    return this.process.exitCode;
  }
}

interface UpOptions {
  /** Further options. */
  readonly more?: readonly string[];
  /** A program that runs it. */
  readonly before?: readonly string[];
}

export const statusOf = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return '';
  }
};

export const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
};

const allProcesses = (): readonly number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** The children of a process whose command line holds a word. */
export function childrenOf(parent: number | undefined, word = ''): readonly number[] {
  return allProcesses()
    .filter((pid) => {
      const text = statusOf(String(pid));
      return text.slice(text.lastIndexOf(')') + 2).split(' ')[1] === String(parent);
    })
    .filter((pid) => commandOf(pid).includes(word));
}

/** The processes that run for a place, whose command line holds a word. */
export const processesOf = ({ directory }: Place, word = ''): readonly number[] =>
  allProcesses().filter((pid) => {
    const command = commandOf(pid);
    return command.includes(`${directory}/`) && command.includes(word);
  });

export const isBlockDaemonReady = async ({ blockAddress }: Place): Promise<boolean> =>
  (await varve(['bd', 'ls', '--socket', blockAddress])).code === 0;

export async function waitUntilUp(one: Place, up: Up): Promise<void> {
  await waitUntil('both answer', async () => {
    const { exitCode, signalCode } = up.process;
    if (exitCode !== null || signalCode !== null)
      throw new Error(`it ended:\n${up.said.join('\n')}`);
    return (await isServing(one.address)) && (await isBlockDaemonReady(one));
  });
}
