// What every subcommand gets: its output and where the daemon is.
import { adminAddressBeside, defaultAddress } from '../config/configuration.ts';
import { environmentNames } from '../config/load.ts';
import { isSocketPath } from '../config/values.ts';
import { resolve } from 'node:path';
import { CliFailure, exitCodes } from './exit-codes.ts';
import { Output } from './output.ts';

/** Options that all commands share. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly address?: string;
  readonly adminAddress?: string;
}

export interface CommandContext {
  readonly output: Output;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The admin socket that the options, or the environment, name. */
  readonly adminAddress: () => string;
}

/** The context of one run. */
export function commandContext(options: CommonOptions): CommandContext {
  const environment = process.env;
  const output = new Output(process.stdout, { isJson: options.json === true, environment });
  return { output, environment, adminAddress: () => adminAddressOf(options, environment) };
}

/** A flag wins over the environment; the admin socket's own name wins within each. */
export function adminAddressOf(
  options: CommonOptions,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const besides = (address: string): string => adminAddressBeside(address);
  if (options.adminAddress !== undefined)
    return socketPath('--admin-address', options.adminAddress);
  if (options.address !== undefined) return besides(socketPath('--address', options.address));
  const ownName = environment[environmentNames.adminAddress];
  if (ownName !== undefined && ownName !== '') {
    return socketPath(environmentNames.adminAddress, ownName);
  }
  const name = environment[environmentNames.address];
  if (name !== undefined && name !== '') return besides(socketPath(environmentNames.address, name));
  return besides(defaultAddress);
}

function socketPath(source: string, text: string): string {
  const trimmed = text.trim();
  const isRelative = trimmed !== '' && !/^(?:unix:|\/)/.test(trimmed);
  const checked = isSocketPath(isRelative ? resolve(trimmed) : trimmed);
  if ('problem' in checked) throw new CliFailure(exitCodes.usage, `${source} ${checked.problem}`);
  return checked.value as string;
}
