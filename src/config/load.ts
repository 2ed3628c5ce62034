// Makes the effective configuration from flags, environment, file and defaults, in this order of
// precedence, and says where each value came from. All problems are reported at once.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { adminAddressBeside, defaultConfigPath, defaultConfiguration } from './configuration.ts';
import type { Configuration, Origins } from './configuration.ts';
import { readConfigurationFile } from './file.ts';
import { configurationKeys } from './keys.ts';

/** What the command line of `varve serve` may say. */
export interface ConfigurationFlags {
  readonly root?: string | undefined;
  readonly address?: string | undefined;
  readonly adminAddress?: string | undefined;
  readonly logLevel?: string | undefined;
}

export interface LoadRequest {
  readonly flags?: ConfigurationFlags;
  /** The file to read; without it, the default one if it exists. */
  readonly configPath?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** What is read when no file is named; for tests. */
  readonly defaultPath?: string;
}

export type LoadResult =
  | { readonly ok: true; readonly configuration: Configuration; readonly origins: Origins }
  | { readonly ok: false; readonly problems: readonly string[] };

const flagNames: Readonly<Record<keyof ConfigurationFlags, string>> = {
  root: '--root',
  address: '--address',
  adminAddress: '--admin-address',
  logLevel: '--log-level',
};

/** Environment variables that set a value, by the key that they set. */
export const environmentNames = {
  address: 'VARVE_ADDRESS',
  adminAddress: 'VARVE_ADMIN_ADDRESS',
} as const;

interface Setting {
  readonly value: unknown;
  readonly origin: string;
  readonly level: Level;
}

/** Where a setting stands, the least first. */
const levels = { default: 0, file: 1, environment: 2, flag: 3 } as const;
type Level = (typeof levels)[keyof typeof levels];

/** Loads and checks everything once. */
export function loadConfiguration(request: LoadRequest = {}): LoadResult {
  const settings = new Map<string, Setting>();
  const problems: string[] = [];
  takeFile(request, settings, problems);
  for (const [key, name] of Object.entries(environmentNames)) {
    const value = request.environment?.[name];
    if (value === undefined || value === '') continue;
    const origin = `environment ${name}`;
    takeText({ key, value, origin, level: levels.environment }, settings, problems);
  }
  for (const [key, name] of Object.entries(flagNames)) {
    const value = request.flags?.[key as keyof ConfigurationFlags];
    if (value === undefined) continue;
    takeText({ key, value, origin: `flag ${name}`, level: levels.flag }, settings, problems);
  }
  const loaded = assemble(settings);
  const { address, adminAddress } = loaded.configuration;
  if (adminAddress === address) {
    const from = (key: string): string => `"${key}" (${loaded.origins[key] ?? ''})`;
    problems.push(
      `${from('address')} and ${from('adminAddress')} are both ${address}: the two services ` +
        'need a socket each; name another one with "adminAddress" or --admin-address',
    );
  }
  const { runtimeType, rwMode } = loaded.configuration;
  if (runtimeType === 'docker' && rwMode !== 'overlayfs') {
    problems.push(
      `"rwMode" (${loaded.origins['rwMode'] ?? ''}) is ${rwMode}: with "runtimeType": "docker" ` +
        'containers share the device of their image and write into directories; leave "rwMode" out',
    );
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, ...loaded };
}

function takeFile(request: LoadRequest, settings: Map<string, Setting>, problems: string[]): void {
  const defaultPath = request.defaultPath ?? defaultConfigPath;
  const path = request.configPath ?? (existsSync(defaultPath) ? defaultPath : undefined);
  if (path === undefined) return;
  const content = readConfigurationFile(resolve(path));
  problems.push(...content.problems);
  for (const { key, value } of content.values) {
    const origin = `file ${resolve(path)}${key.sets === key.name ? '' : ` (${key.name})`}`;
    const earlier = settings.get(key.sets);
    if (earlier !== undefined && earlier.value !== value) {
      problems.push(
        `${resolve(path)}: "verbose" and "logLevel" say different things: keep one of them`,
      );
    }
    settings.set(key.sets, { value, origin, level: levels.file });
  }
}

function takeText(
  given: {
    readonly key: string;
    readonly value: string;
    readonly origin: string;
    readonly level: Level;
  },
  settings: Map<string, Setting>,
  problems: string[],
): void {
  const key = configurationKeys.find((candidate) => candidate.name === given.key);
  // On a command line a path may be relative to where one stands; an empty one stays wrong.
  const isPath = given.key !== 'logLevel' && given.value.trim() !== '';
  const isRelative = isPath && !/^(?:unix:|\/)/.test(given.value.trim());
  const value = isRelative ? resolve(given.value.trim()) : given.value;
  const checked = key?.rule(value) ?? { problem: 'is not a key' };
  if ('problem' in checked)
    problems.push(`${given.origin.replace(/^\w+ /, '')} ${checked.problem}`);
  else settings.set(given.key, { value: checked.value, origin: given.origin, level: given.level });
}

function assemble(settings: ReadonlyMap<string, Setting>): {
  readonly configuration: Configuration;
  readonly origins: Origins;
} {
  const origins: Record<string, string> = {};
  const take = (key: string, defaultValue: unknown): unknown => {
    const setting = settings.get(key);
    origins[key] = setting?.origin ?? 'default';
    return setting === undefined ? defaultValue : setting.value;
  };
  const takeAll = (values: object, prefix: string): unknown =>
    Object.fromEntries(
      Object.entries(values).map(([name, value]) => [
        name,
        typeof value === 'object' && !Array.isArray(value)
          ? takeAll(value as object, `${prefix}${name}.`)
          : take(prefix + name, value),
      ]),
    );
  const configuration = takeAll(defaultConfiguration, '') as Configuration;
  // Whoever names a Snapshots socket looks for the admin socket beside it, unless that is named as
  // strongly.
  const address = settings.get('address');
  const adminLevel = settings.get('adminAddress')?.level ?? levels.default;
  const isNamed = adminLevel > levels.default && adminLevel >= (address?.level ?? levels.default);
  if (isNamed || address === undefined) return { configuration, origins };
  const adminAddress = adminAddressBeside(configuration.address);
  origins['adminAddress'] = `beside address: ${address.origin}`;
  return { configuration: { ...configuration, adminAddress }, origins };
}
