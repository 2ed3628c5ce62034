// The ways by which devices reach the kernel of the virtual machine that tests run in, and how a
// node is told to use one.
import { machineVariable } from './inside.ts';
import type { KernelName } from './kernels.ts';

export type Transport = 'fuse' | 'tcmu' | 'ublk';

interface Way {
  readonly kernels: readonly string[];
  /** How its devices are called. */
  readonly device: RegExp;
  readonly blockDaemonFlags: readonly string[];
}

const ways: Readonly<Record<Transport, Way>> = {
  fuse: { kernels: ['6.1', '6.12'], device: /^\/dev\/loop\d+$/, blockDaemonFlags: [] },
  tcmu: { kernels: ['6.1', '6.12'], device: /^\/dev\/sd[a-z]+$/, blockDaemonFlags: ['--tcmu'] },
  ublk: { kernels: ['6.12'], device: /^\/dev\/ublkb\d+$/, blockDaemonFlags: [] },
};

const isLong = process.env['VARVE_LONG'] === '1';

/** Each transport with the oldest kernel that has it. */
export const firstKernels: readonly (readonly [KernelName, Transport])[] = [
  ['6.1', 'fuse'],
  ['6.1', 'tcmu'],
  ['6.12', 'ublk'],
];

/**
 * What tests in this machine are run over; none outside. In the short form what there is in no
 * other place: `fuse` is what tests outside use.
 */
export function transportsHere(): readonly Transport[] {
  const kernel = process.env[machineVariable] ?? '';
  const names = Object.keys(ways) as Transport[];
  const found = names.filter((name) => ways[name].kernels.includes(kernel));
  return isLong ? found : found.slice(-1);
}

export const deviceOf = (transport: Transport): RegExp => ways[transport].device;

/** What a node is started with. */
export const optionsOf = (transport: Transport) =>
  ({
    hasHolder: true,
    blockDaemonFlags: ways[transport].blockDaemonFlags,
    settings: { transport },
  }) as const;
