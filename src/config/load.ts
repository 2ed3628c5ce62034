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
}

/** Loads and checks everything once. */
export function loadConfiguration(request: LoadRequest = {}): LoadResult {
  const settings = new Map<string, Setting>();
  const problems: string[] = [];
  takeFile(request, settings, problems);
  for (const [key, name] of Object.entries(environmentNames)) {
    const value = request.environment?.[name];
    if (value === undefined || value === '') continue;
    takeText({ key, value, origin: `environment ${name}` }, settings, problems);
  }
  for (const [key, name] of Object.entries(flagNames)) {
    const value = request.flags?.[key as keyof ConfigurationFlags];
    if (value === undefined) continue;
    takeText({ key, value, origin: `flag ${name}` }, settings, problems);
  }
  const loaded = assemble(settings);
  if (loaded.configuration.adminAddress === loaded.configuration.address) {
    problems.push(
      `"address" and "adminAddress" are both ${loaded.configuration.address}: ` +
        'the two services need a socket each',
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
    if (key.sets === undefined) continue;
    const origin = `file ${resolve(path)}${key.sets === key.name ? '' : ` (${key.name})`}`;
    const earlier = settings.get(key.sets);
    if (earlier !== undefined && earlier.value !== value) {
      problems.push(
        `${resolve(path)}: "verbose" and "logLevel" say different things: keep one of them`,
      );
    }
    settings.set(key.sets, { value, origin });
  }
}

function takeText(
  given: { readonly key: string; readonly value: string; readonly origin: string },
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
  else settings.set(given.key, { value: checked.value, origin: given.origin });
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
        typeof value === 'object'
          ? takeAll(value as object, `${prefix}${name}.`)
          : take(prefix + name, value),
      ]),
    );
  const configuration = takeAll(defaultConfiguration, '') as Configuration;
  if (settings.has('adminAddress')) return { configuration, origins };
  const adminAddress = adminAddressBeside(configuration.address);
  return { configuration: { ...configuration, adminAddress }, origins };
}
