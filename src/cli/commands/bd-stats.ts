// varve bd stats: what block devices have done, as a table, as JSON, or as Prometheus reads it.
import { withBlockDaemon, type BlockOptions } from '../block-devices/daemon.ts';
import type { DeviceStats } from '../block-devices/documents.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { statsTable } from '../render/block-device.ts';

interface Input extends BlockOptions {
  readonly prometheus?: boolean;
}

export async function run(context: CommandContext, input: Input): Promise<void> {
  const { output } = context;
  const [device] = input.arguments;
  if (input.prometheus === true) {
    if (device !== undefined || output.isJson) {
      throw new CliFailure(
        exitCodes.usage,
        '--prometheus prints the metrics of all devices as text: leave the device and --json out',
      );
    }
    const { text } = await withBlockDaemon(context, input, (client) =>
      client.request<{ readonly text: string }>('metrics'),
    );
    await output.write(text);
    return;
  }
  const stats = await withBlockDaemon(context, input, (client) =>
    client.request<{ readonly devices: readonly DeviceStats[] }>('stats', { device }),
  );
  if (output.isJson) await output.json({ format: 'varve-bd-stats', version: 1, ...stats });
  else await output.lines(statsTable(stats.devices, output));
}
