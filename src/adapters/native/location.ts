// Where the native results lie: in the folder that VARVE_NATIVE_DIR names, else beside the bundle
// or in the build folder of the checkout that holds it. Nothing is loaded here, so finding the
// worker program costs no library.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const candidateDirectories = (): readonly string[] => {
  const configured = process.env['VARVE_NATIVE_DIR'];
  if (configured !== undefined && configured !== '') return [resolve(configured)];
  const directories: string[] = [];
  const here = dirname(fileURLToPath(import.meta.url));
  for (let folder = here; ; folder = dirname(folder)) {
    directories.push(join(folder, 'build', 'native'));
    if (folder === dirname(folder)) return [here, ...directories];
  }
};

const kinds = {
  'libvarve_sys.so': 'native library',
  'varve-helper': 'worker program',
  'varve-bd': 'daemon of block devices',
  'varve-bd-holder': 'holder of block devices',
  'varve-layer': 'tool for layers',
} as const;
type NativeFile = keyof typeof kinds;

/** Finds a native file by its name; throws with the places looked at if there is none. */
export const findNativeFile = (name: NativeFile): string => {
  const paths = candidateDirectories().map((directory) => join(directory, name));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  // The checkout's own folder is the one that make build fills.
  const expected = paths.find((path) => existsSync(dirname(dirname(path)))) ?? paths[0] ?? name;
  const kind = kinds[name];
  throw new Error(`${kind} not found at ${expected}: run make build`);
};
