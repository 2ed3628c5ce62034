// Programs that others run: whether they are installed.
import { access, constants } from 'node:fs/promises';
import path from 'node:path';

/** Where services find programs, whatever PATH a shell has. */
const serviceDirectories = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];

/** Which of these are in no directory of PATH, nor where services look. */
export async function missingPrograms(
  names: readonly string[],
  searchPath = process.env['PATH'] ?? '',
): Promise<readonly string[]> {
  const directories = [...searchPath.split(path.delimiter), ...serviceDirectories].filter(Boolean);
  const isThere = async (name: string): Promise<boolean> => {
    for (const directory of directories) {
      const found = await access(path.join(directory, name), constants.X_OK).then(
        () => true,
        () => false,
      );
      if (found) return true;
    }
    return false;
  };
  const found = await Promise.all(names.map(isThere));
  return names.filter((_, index) => found[index] !== true);
}
