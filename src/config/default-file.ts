// The default configuration as a file: every key at its default. It loads as it is.
import { configurationKeys } from './keys.ts';

/** What `varve config default` prints, as a value. */
export function defaultConfigurationFile(): Record<string, unknown> {
  const file: Record<string, unknown> = {};
  for (const key of configurationKeys) {
    // The same as `logLevel`, under upstream's name.
    if (key.name === 'verbose') continue;
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
