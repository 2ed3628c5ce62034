// Where the work on directories is done: making them is one quick native call off the main thread;
// measuring, deleting and syncing can block and run in helper processes with a deadline.
import path from 'node:path';
import type { EffectResult } from '../../engine/ports.ts';
import type { HelperPool } from '../helper-pool/pool.ts';
import type { HelperRequest } from '../helper-pool/protocol.ts';
import { makeLayer } from '../native/layer-directories.ts';
import type { DirectoryOperations } from './directories.ts';

/** Operations whose blocking part is bounded by `deadlineMs` each. */
export function directoryOperations(pool: HelperPool, deadlineMs: number): DirectoryOperations {
  const run = async <Value>(
    request: HelperRequest,
    read: (value: Readonly<Record<string, unknown>>) => Value,
  ): Promise<EffectResult<Value>> => {
    const reply = await pool.run(request, { deadlineMs });
    if (reply.ok) return { ok: true, value: read(reply.value) };
    const { code, step, message, path: failedPath } = reply;
    return {
      ok: false,
      failure: { code, step, message, ...(failedPath === undefined ? {} : { path: failedPath }) },
    };
  };
  return {
    async makeLayer(request) {
      const made = await makeLayer(request);
      if (made.ok) return made;
      const { code, message } = made;
      const layerPath = path.join(request.directory, request.id);
      return { ok: false, failure: { step: 'mkdir', code, message, path: layerPath } };
    },
    diskUsage: (directory) =>
      run({ operation: 'disk-usage', path: directory }, ({ sizeBytes, inodeCount }) => ({
        sizeBytes: Number(sizeBytes),
        inodeCount: Number(inodeCount),
      })),
    removeTree: (directory) =>
      run(
        { operation: 'remove-tree', path: directory, parent: path.dirname(directory) },
        () => undefined,
      ),
    sync: (directory) => run({ operation: 'syncfs', path: directory }, () => undefined),
  };
}
