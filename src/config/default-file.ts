// The default configuration as a file to begin with. It loads as it is.
import { configurationKeys } from './keys.ts';

/** What `varve config default` prints, as a value. */
export function defaultConfigurationFile(): Record<string, unknown> {
  const file: Record<string, unknown> = {};
  for (const key of configurationKeys) {
    // The same as `logLevel`, under upstream's name; and what is to follow an edited `address`.
    if (key.name === 'verbose' || key.name === 'adminAddress') continue;
    const [group, member] = key.name.split('.') as [string, string | undefined];
    if (member === undefined) {
      file[group] = key.defaultValue;
      continue;
    }
    const members = (file[group] ?? {}) as Record<string, unknown>;
    members[member] = key.defaultValue;
    file[group] = members;
  }
  return file;
}
