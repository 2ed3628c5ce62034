// A folder of the native files as links, of which a test may take one away or put its own there.
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { findNativeFile } from '../../src/adapters/native/location.ts';

const names = ['libvarve_sys.so', 'varve-helper', 'varve-bd', 'varve-layer'] as const;

/** Makes `folder`; answers the environment by which varve takes it. */
export function linkNativeFiles(folder: string): Record<string, string> {
  mkdirSync(folder);
  for (const name of names) symlinkSync(findNativeFile(name), path.join(folder, name));
  return { VARVE_NATIVE_DIR: folder };
}
