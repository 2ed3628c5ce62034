// A history file as the commands use it: opened, read strictly, folded; failures say what to do
// next.
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { foldHistory, PositionOutOfRange } from '../history/fold.ts';
import type { FoldRequest, FoldResult } from '../history/fold.ts';
import { HistoryFileError } from '../history/export-lines.ts';
import { readHistory } from '../history/export-reader.ts';
import type { StoredEvent } from '../machines/kernel/envelope.ts';
import type { EventQuery } from './event-source.ts';
import { CliFailure, exitCodes } from './exit-codes.ts';

/** Folds the file at `path` (`-`: standard input). */
export async function foldFile(path: string, request: FoldRequest): Promise<FoldResult> {
  try {
    return await foldHistory(readHistory(await chunksOf(path)), request);
  } catch (error) {
    throw fileFailure(path, error);
  }
}

/** The events of the file that a query wants, in their order, the older retained ones first. */
export async function* eventsOfFile(
  path: string,
  query: EventQuery,
): AsyncGenerator<readonly StoredEvent[]> {
  const isWanted = wanted(query);
  try {
    for await (const entry of readHistory(await chunksOf(path))) {
      // What follows is not asked for, and may be what is damaged.
      if (entry.kind === 'event' && query.toSeq !== 0 && entry.event.globalSeq > query.toSeq)
        return;
      if (entry.kind === 'header') refuseOutside(query, entry.header);
      const isEvent = entry.kind === 'event' || entry.kind === 'retained';
      if (isEvent && isWanted(entry.event)) yield [entry.event];
    }
  } catch (error) {
    throw fileFailure(path, error);
  }
}

function refuseOutside(
  { fromSeq, toSeq }: EventQuery,
  { lastSeq, firstSeq }: { readonly firstSeq: number; readonly lastSeq: number },
): void {
  for (const position of [fromSeq, toSeq]) {
    if (position > lastSeq) throw new PositionOutOfRange(position, { firstSeq, lastSeq });
  }
  if (fromSeq !== 0 && fromSeq < firstSeq) {
    throw new PositionOutOfRange(fromSeq, { firstSeq, lastSeq });
  }
}

function wanted({ fromSeq, toSeq, streams, types }: EventQuery): (event: StoredEvent) => boolean {
  const isStream = (stream: string): boolean =>
    streams.some((name) =>
      name.endsWith('*') ? stream.startsWith(name.slice(0, -1)) : stream === name,
    );
  return (event) =>
    event.globalSeq >= fromSeq &&
    (toSeq === 0 || event.globalSeq <= toSeq) &&
    (streams.length === 0 || isStream(event.stream)) &&
    (types.length === 0 || types.includes(event.type));
}

function fileFailure(path: string, error: unknown): unknown {
  if (error instanceof HistoryFileError) {
    return new CliFailure(
      exitCodes.damaged,
      `${path}: ${error.message}; export the history again with varve export`,
      error,
    );
  }
  if (error instanceof PositionOutOfRange) {
    return new CliFailure(exitCodes.outOfRange, `${path}: ${error.message}`, error);
  }
  return error;
}

async function chunksOf(path: string): Promise<AsyncIterable<Uint8Array>> {
  if (path === '-') return process.stdin;
  try {
    const file = await open(path, 'r');
    if ((await file.stat()).isDirectory()) {
      await file.close();
      throw Object.assign(new Error('it is a directory: name a file'), { code: 'EISDIR' });
    }
    return createReadStream(path, { fd: file });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isDenied = code === 'EACCES' || code === 'EPERM';
    const reason = code === 'ENOENT' ? 'no such file: name one that varve export wrote' : message;
    throw new CliFailure(
      isDenied ? exitCodes.permission : exitCodes.failure,
      `${path}: ${isDenied ? 'permission denied: run as a user who may read it' : reason}`,
      error,
    );
  }
}
