// Makes a snapshot's directories in one native call, off the main thread.
import { declare, resultOf, type NativeResult } from './library.ts';

const withWorkFlag = 1;
const ownerUnchanged = 0xffff_ffff;

const makeLayerDirectories = declare(
  'int varve_sys_make_layer_dirs(const char* directory, const char* id, uint32_t flags, ' +
    'uint32_t uid, uint32_t gid)',
);

export interface LayerRequest {
  readonly directory: string;
  /** 1 to 20 decimal digits. */
  readonly id: string;
  readonly withWork: boolean;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

/** `<directory>/<id>` (0700) with `fs` (0755) and `work` (0711); on failure nothing is left. */
export function makeLayer(request: LayerRequest): Promise<NativeResult<void>> {
  const { directory, id, withWork, owner } = request;
  return new Promise((resolve, reject) => {
    makeLayerDirectories().async(
      directory,
      id,
      withWork ? withWorkFlag : 0,
      owner?.uid ?? ownerUnchanged,
      owner?.gid ?? ownerUnchanged,
      (error: Error | null, returned: number) => {
        if (error !== null) reject(error);
        else {
          const result = resultOf(returned);
          resolve(result.ok ? { ok: true, value: undefined } : result);
        }
      },
    );
  });
}
