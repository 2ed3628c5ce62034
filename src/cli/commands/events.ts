// varve events: the recorded events, from the daemon or from a file, as they are or as sentences.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { checkFilters } from '../event-filters.ts';
import { followEvents, readEvents } from '../event-source.ts';
import type { EventQuery } from '../event-source.ts';
import { eventsOfFile } from '../history-file.ts';
import { eventJson, eventLine } from '../render/event.ts';

interface Input {
  readonly from?: number;
  readonly to?: number;
  readonly follow?: boolean;
  readonly stream?: readonly string[];
  readonly type?: readonly string[];
  readonly file?: string;
}

export async function run(context: CommandContext, input: Input): Promise<void> {
  const { output } = context;
  refuseContradictions(input);
  for await (const events of source(context, input)) {
    if (output.isJson) await output.lines(events.map((event) => JSON.stringify(eventJson(event))));
    else await output.lines(events.map((event) => eventLine(event, output)));
  }
}

function source(context: CommandContext, input: Input): AsyncIterable<readonly StoredEvent[]> {
  const query: EventQuery = {
    fromSeq: input.from ?? 0,
    toSeq: input.to ?? 0,
    streams: input.stream ?? [],
    types: input.type ?? [],
  };
  checkFilters(query.streams, query.types);
  if (input.file !== undefined) return eventsOfFile(input.file, query);
  if (input.follow === true) return followEvents(context.adminAddress(), query);
  return readEvents(context.adminAddress(), query);
}

function refuseContradictions({ from, to, follow, file }: Input): void {
  const refuse = (message: string): never => {
    throw new CliFailure(exitCodes.usage, message);
  };
  if (to !== undefined && follow === true) refuse('--to and --follow contradict: leave one out');
  if (file !== undefined && follow === true) refuse('a file does not grow: leave --follow out');
  if (to !== undefined && from !== undefined && to < from) {
    refuse(`--from ${from} is after --to ${to}: exchange them`);
  }
}
