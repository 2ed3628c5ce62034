// Whether varve-bd may be replaced while its devices are in use.
import type { CommandContext } from '../command-context.ts';
import { CliFailure } from '../exit-codes.ts';
import { withBlockDaemon } from './daemon.ts';

interface Stats {
  readonly daemon: {
    /** Older ones do not tell it. */
    readonly devicesOutlive?: boolean;
    readonly deviceCount: number;
  };
}

/** Whether the devices of the daemon on a socket stay when it ends, or there are none. */
export async function canBeReplaced(
  socket: string,
  environment: CommandContext['environment'],
): Promise<boolean> {
  try {
    const { daemon } = await withBlockDaemon({ environment }, { socket }, (client) =>
      client.request<Stats>('stats', {}),
    );
    return daemon.devicesOutlive === true || daemon.deviceCount === 0;
  } catch (error) {
    if (error instanceof CliFailure) return false;
    throw error;
  }
}
