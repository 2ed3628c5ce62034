// Who is compared: containerd's own overlayfs snapshotter over gRPC, and varve in the ways of
// working that correspond to it.
import { join } from 'node:path';
import type { Programs } from './programs.ts';
import type { Contestant } from './servers.ts';

export interface Contestants {
  /** Removal finished when Remove answers, data synced only by the kernel: each one's default. */
  readonly peer: Contestant;
  readonly varve: Contestant;
  /** The same, but Commit syncs the layer's data first; the peer has no such mode. */
  readonly varveSyncfs: Contestant;
  /** Removal of directories left to Cleanup. */
  readonly peerAsync: Contestant;
  readonly varveAsync: Contestant;
}

export function contestants(programs: Programs, checkout: string): Contestants {
  const peer = (name: string, flags: readonly string[]): Contestant => ({
    name,
    command: (root, address) => [programs.peer, '--root', root, '--address', address, ...flags],
    config: {},
  });
  const varve = (name: string, config: object): Contestant => ({
    name,
    command: (root, address, configPath) => [
      join(checkout, 'bin', 'varve'),
      ...['serve', '--root', root, '--address', address, '--config', configPath],
      ...['--log-level', 'warn'],
    ],
    config,
  });
  return {
    peer: peer('containerd overlayfs', []),
    varve: varve('varve', { commitSync: 'none' }),
    varveSyncfs: varve('varve, commitSync syncfs', { commitSync: 'syncfs' }),
    peerAsync: peer('containerd overlayfs, asynchronous removal', ['--async-remove']),
    varveAsync: varve('varve, asyncRemove', { commitSync: 'none', asyncRemove: true }),
  };
}
