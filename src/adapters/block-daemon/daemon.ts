// varve-bd as an adapter asks it: one request on a connection of its own, and what went wrong as
// the failure of an effect.
import type { EffectResult } from '../../engine/ports.ts';
import {
  BlockDaemonClient,
  BlockDaemonError,
  BlockDaemonUnreachable,
  type Fields,
} from './client.ts';
import { failed } from '../block-devices/failed.ts';

/** Codes of varve-bd (docs/block-daemon.md) → errno names; any other is EIO. */
const errnoNames: Readonly<Record<string, string>> = {
  'not-found': 'ENOENT',
  'already-exists': 'EEXIST',
  'in-use': 'EBUSY',
  busy: 'EBUSY',
  deadline: 'ETIMEDOUT',
  stopping: 'ECONNREFUSED',
  'too-many-devices': 'ENOSPC',
  'no-space': 'ENOSPC',
};

/** varve-bd, asked on a connection of its own each time: it may have been replaced in between. */
export class Daemon {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async request<Answer>(operation: string, fields: Fields): Promise<EffectResult<Answer>> {
    let client: BlockDaemonClient | undefined;
    try {
      client = await BlockDaemonClient.connect(this.#socketPath);
      return { ok: true, value: await client.request<Answer>(operation, fields) };
    } catch (error) {
      if (error instanceof BlockDaemonError) {
        const code = errnoNames[error.code] ?? 'EIO';
        return failed({ step: operation, code, message: `varve-bd: ${error.message}` });
      }
      if (!(error instanceof BlockDaemonUnreachable)) throw error;
      const reason =
        error.code === 'ENOENT' || error.code === 'ECONNREFUSED'
          ? 'varve-bd does not run there: start it'
          : `varve-bd does not answer (${error.message}): look at its log`;
      const path = this.#socketPath;
      return failed({ step: operation, code: 'ECONNREFUSED', message: reason, path });
    } finally {
      client?.close();
    }
  }
}
