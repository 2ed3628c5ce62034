// A history file as the commands use it: opened, read strictly, folded; failures say what to do next.
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { foldHistory, PositionOutOfRange } from '../history/fold.ts';
import type { FoldRequest, FoldResult } from '../history/fold.ts';
import { HistoryFileError } from '../history/export-lines.ts';
import { readHistory } from '../history/export-reader.ts';
import { CliFailure, exitCodes } from './exit-codes.ts';

/** Folds the file at `path` (`-`: standard input). */
export async function foldFile(path: string, request: FoldRequest): Promise<FoldResult> {
  try {
    return await foldHistory(readHistory(await chunksOf(path)), request);
  } catch (error) {
    if (error instanceof HistoryFileError) {
      throw new CliFailure(
        exitCodes.damaged,
        `${path}: ${error.message}; export the history again with varve export`,
        error,
      );
    }
    if (error instanceof PositionOutOfRange) {
      throw new CliFailure(exitCodes.outOfRange, `${path}: ${error.message}`, error);
    }
    throw error;
  }
}

async function chunksOf(path: string): Promise<AsyncIterable<Uint8Array>> {
  if (path === '-') return process.stdin;
  try {
    const file = await open(path, 'r');
    if ((await file.stat()).isDirectory()) {
      await file.close();
      throw Object.assign(new Error('it is a directory'), { code: 'EISDIR' });
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
