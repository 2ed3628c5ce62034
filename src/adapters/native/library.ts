// Loads libvarve_sys, the only place that knows koffi. Every native function answers a value ≥ 0 or a
// negative errno, which becomes a result here; `errno` itself is never read.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { errnoMessage, errnoName } from './errno.ts';

/** Must equal VARVE_SYS_ABI_VERSION in native/syscalls/varve_sys.h. */
const abiVersion = 1;

const libraryName = 'libvarve_sys.so';

/** The native parts are missing or do not fit; the message says what to do. */
export class NativeMissing extends Error {
  override readonly name = 'NativeMissing';
}

/** What a native call answered. */
export type NativeResult<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** The folder that holds the library and the helper program: built, or named by VARVE_NATIVE_DIR. */
export function nativeDirectory(): string {
  const named = process.env['VARVE_NATIVE_DIR'];
  if (named !== undefined && named !== '') return named;
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, 'build', 'native');
    if (existsSync(join(candidate, libraryName))) return candidate;
    if (folder === dirname(folder)) return join(process.cwd(), 'build', 'native');
  }
}

type Library = ReturnType<typeof koffi.load>;
type NativeFunction = ReturnType<Library['func']>;

let loaded: Library | undefined;

function library(): Library {
  if (loaded !== undefined) return loaded;
  const path = join(nativeDirectory(), libraryName);
  if (!existsSync(path)) throw new NativeMissing(`${path} is missing: run make build`);
  const opened = koffi.load(path);
  const version = opened.func('int varve_sys_abi_version(void)') as () => number;
  if (version() !== abiVersion) {
    throw new NativeMissing(
      `${path} has interface ${version()}, this varve needs ${abiVersion}: run make build`,
    );
  }
  loaded = opened;
  return opened;
}

/** Declares a function by its C prototype; it is looked up at the first call. */
export function declare(prototype: string): () => NativeFunction {
  let bound: NativeFunction | undefined;
  return () => (bound ??= library().func(prototype));
}

/** A native return value as a result. */
export function resultOf(returned: number): NativeResult<number> {
  return returned >= 0
    ? { ok: true, value: returned }
    : { ok: false, code: errnoName(-returned), message: errnoMessage(-returned) };
}
