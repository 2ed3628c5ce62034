// The ways by which devices reach the kernel of the virtual machine that tests run in, and how a
// node is told to use one.
import { machineVariable } from './inside.ts';

export type Transport = 'fuse';

interface Way {
  readonly kernels: readonly string[];
  /** How its devices are called. */
  readonly device: RegExp;
  readonly blockDaemonFlags: readonly string[];
}

const ways: Readonly<Record<Transport, Way>> = {
  fuse: {
    kernels: ['6.1', '6.12'],
    device: /^\/dev\/loop\d+$/,
    blockDaemonFlags: [],
  },
};

/** What tests in this machine are run over; none outside. */
export const transportsHere = (): readonly Transport[] =>
  (Object.keys(ways) as Transport[]).filter((name) =>
    ways[name].kernels.includes(process.env[machineVariable] ?? ''),
  );

export const deviceOf = (transport: Transport): RegExp => ways[transport].device;

/** What a node is started with. */
export const optionsOf = (transport: Transport) =>
  ({
    hasHolder: true,
    blockDaemonFlags: ways[transport].blockDaemonFlags,
    settings: { transport },
  }) as const;
