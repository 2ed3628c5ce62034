// varve devices: the block devices of snapshots, now or at a position, from the daemon or a file.
import { devicesDocument, type DevicesDocument } from '../../history/devices-document.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { foldFile } from '../history-file.ts';
import { deviceLines } from '../render/devices.ts';

interface Input {
  readonly all?: boolean;
  readonly at?: number;
  readonly file?: string;
}

export async function run({ output, adminAddress }: CommandContext, input: Input): Promise<void> {
  const { at = 0, file } = input;
  const document =
    file === undefined
      ? await withAdminClient(adminAddress(), (client) =>
          client.document<DevicesDocument>('devices', { atSeq: at }),
        )
      : await devicesOfFile(file, input.at);
  const shown = input.all === true ? document : { ...document, devices: presentOf(document) };
  if (output.isJson) await output.json(shown);
  else await output.lines(deviceLines(shown, output));
}

/** Those that are there, or that somebody waits for. */
const presentOf = ({ devices }: DevicesDocument): DevicesDocument['devices'] =>
  devices.filter(({ state, leases }) => state !== 'absent' || leases.length > 0);

async function devicesOfFile(file: string, at: number | undefined): Promise<DevicesDocument> {
  const { states } = await foldFile(file, { positions: [at ?? 'end'] });
  const [state] = states;
  if (state === undefined) throw new CliFailure(exitCodes.failure, `${file}: holds no state`);
  return devicesDocument({
    ...state,
    directory: undefined,
    figures: 'figures are of now, and this is a history',
    troubles: new Map(),
  });
}
