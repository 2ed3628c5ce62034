// varve why KEY: the history of a snapshot in sentences.
import { nearestKey } from '../../config/nearest.ts';
import { neverSeenText, NameSearch } from '../../history/names.ts';
import { whyDocument } from '../../history/why.ts';
import type { WhyDocument } from '../../history/why.ts';
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { foldFile } from '../history-file.ts';
import { whyLines } from '../render/snapshot.ts';

export async function run(
  { output, adminAddress }: CommandContext,
  input: { readonly arguments: readonly string[]; readonly file?: string },
): Promise<void> {
  const [key = ''] = input.arguments;
  const why =
    input.file === undefined
      ? await withAdminClient(adminAddress(), (client) =>
          client.document<WhyDocument>('why', { key }),
        )
      : await whyInFile(input.file, key);
  if (output.isJson) await output.json(why);
  else await output.lines(whyLines(why, output));
}

async function whyInFile(file: string, key: string): Promise<WhyDocument> {
  const search = new NameSearch(key);
  // A stream may get the wanted name only by its Commit, so all are kept until the end.
  const streams = new Map<string, StoredEvent[]>();
  const onEvent = (event: StoredEvent): void => {
    search.see(event);
    const events = streams.get(event.stream);
    if (events === undefined) streams.set(event.stream, [event]);
    else events.push(event);
  };
  const { header } = await foldFile(file, { positions: ['end'], onEvent });
  if (search.streams.length > 0) {
    return whyDocument(
      key,
      search.streams.map((stream) => streams.get(stream) ?? []),
    );
  }
  const nearest = nearestKey(key, search.namesSeen);
  const said = { firstSeq: header.firstSeq, nearest, lister: `varve replay --file ${file}` };
  throw new CliFailure(exitCodes.notFound, `${file}: ${neverSeenText(key, said)}`);
}
