// Where the native results lie: the one that VARVE_NATIVE_DIR names, beside the bundle, or in the
// checkout's build folder. Nothing is loaded here, so finding the worker program costs no library.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const candidateDirectories = (): readonly string[] => {
  const configured = process.env['VARVE_NATIVE_DIR'];
  if (configured !== undefined && configured !== '') return [resolve(configured)];
  const here = dirname(fileURLToPath(import.meta.url));
  return [
    here,
    join(here, 'native'),
    join(here, '..', 'build', 'native'),
    join(here, '..', '..', '..', 'build', 'native'),
  ];
};

/** Finds a native file by its name; throws with the places looked at if there is none. */
export const findNativeFile = (name: 'libvarve_sys.so' | 'varve-helper'): string => {
  const paths = candidateDirectories().map((directory) => join(directory, name));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  const kind = name === 'libvarve_sys.so' ? 'native library' : 'worker program';
  throw new Error(`${kind} not found at ${paths.join(' or ')}: run make build`);
};
