// varve devices: the block devices of snapshots, now, at a position, or again and again, from the
// daemon or a file.
import { devicesDocument, type DevicesDocument } from '../../history/devices-document.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { followEvents } from '../event-source.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { foldFile } from '../history-file.ts';
import { deviceLines } from '../render/devices.ts';

interface Input {
  readonly all?: boolean;
  readonly at?: number;
  readonly file?: string;
  readonly watch?: boolean;
}

export async function run(context: CommandContext, input: Input): Promise<void> {
  const { at = 0, file } = input;
  if (input.watch === true) {
    if (file !== undefined || at !== 0) {
      const message = '--watch shows what comes, and --at and --file what was: choose one';
      throw new CliFailure(exitCodes.usage, message);
    }
    await watch(context, input);
    return;
  }
  const document =
    file === undefined ? await devicesOfDaemon(context, at) : await devicesOfFile(file, input.at);
  await show(context, input, document);
}

async function show(
  { output }: CommandContext,
  { all }: Input,
  document: DevicesDocument,
): Promise<void> {
  const shown = all === true ? document : { ...document, devices: presentOf(document) };
  if (output.isJson) await output.json(shown);
  else await output.lines(deviceLines(shown, output));
}

/** Those that are there, or that somebody waits for. */
const presentOf = ({ devices }: DevicesDocument): DevicesDocument['devices'] =>
  devices.filter(({ state, leases }) => state !== 'absent' || leases.length > 0);

/** Shows them, and again after every event of a device, until the command is interrupted. */
async function watch(context: CommandContext, input: Input): Promise<void> {
  const { output, adminAddress } = context;
  let document = await devicesOfDaemon(context, 0);
  await show(context, input, document);
  const query = { fromSeq: document.position + 1, toSeq: 0, streams: ['device-*'], types: [] };
  try {
    for await (const [event] of followEvents(adminAddress(), query)) {
      // What was shown may be newer than what is told of now.
      if (event === undefined || event.globalSeq <= document.position) continue;
      document = await devicesOfDaemon(context, 0);
      if (!output.isJson) await output.line();
      await show(context, input, document);
    }
  } catch (error) {
    if (!(error instanceof CliFailure) || error.exitCode !== exitCodes.unreachable) throw error;
    const message = 'the daemon has ended: call again when it has started';
    throw new CliFailure(exitCodes.unreachable, message, error);
  }
}

const devicesOfDaemon = (
  { adminAddress }: CommandContext,
  atSeq: number,
): Promise<DevicesDocument> =>
  withAdminClient(adminAddress(), (client) =>
    client.document<DevicesDocument>('devices', { atSeq }),
  );

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
