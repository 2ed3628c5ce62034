// Whether varve-bd may be replaced while its devices are in use.
import type { CommandContext } from '../command-context.ts';
import { CliFailure } from '../exit-codes.ts';
import { withBlockDaemon } from './daemon.ts';

interface Stats {
  readonly daemon: {
    /** Older ones do not tell it. */
    readonly outlivingTransports?: readonly string[];
  };
}

interface Listed {
  readonly devices: readonly { readonly transport: string }[];
}

/** Whether the devices of the daemon on a socket stay when it ends, or there are none. */
export async function canBeReplaced(
  socket: string,
  environment: CommandContext['environment'],
): Promise<boolean> {
  try {
    const { daemon, devices } = await withBlockDaemon(
      { environment },
      { socket },
      async (client) => ({
        ...(await client.request<Stats>('stats')),
        ...(await client.request<Listed>('list')),
      }),
    );
    const outliving = new Set(daemon.outlivingTransports);
    // Those of the kernel's target stay in any case.
    return devices.every(({ transport }) => transport === 'tcmu' || outliving.has(transport));
  } catch (error) {
    if (error instanceof CliFailure) return false;
    throw error;
  }
}
