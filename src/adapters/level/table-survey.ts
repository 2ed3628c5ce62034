// Over a damaged table LevelDB may end the process at its next merge, at every start anew. So after
// a process that did not end in order the tables are looked at: behind the start, since that takes
// longer the more history there is, and before LevelDB opens them only when the process before came
// to its end without having finished looking.
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { readFileContent } from './file-content.ts';
import type { LogPaths } from './log-paths.ts';
import { restUnless } from './rest.ts';
import { tablePaths } from './survey.ts';
import { wouldAbort } from './table-reader.ts';

/** When the tables must be looked at: not at all, behind the start, or before the opening. */
export type SurveyTime = 'never' | 'later' | 'first';

/** What `log.running` holds while the tables are still to be looked at. */
const owedMark = 'tables not looked at yet\n';

/** Rest after each table, as a multiple of the time that it took. */
const restFactor = 4;

export async function surveyTime(paths: LogPaths): Promise<SurveyTime> {
  try {
    return (await readFile(paths.running, 'utf8')) === owedMark ? 'first' : 'later';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'never';
    throw error;
  }
}

/** Notes that the log is open, and whether the tables are still to be looked at. */
export async function markRunning(paths: LogPaths, time: SurveyTime): Promise<void> {
  await writeFile(paths.running, time === 'later' ? owedMark : '', { mode: 0o600 });
}

/** Names of the tables over which LevelDB may end the process. Notes when all were looked at. */
export async function surveySlowly(
  paths: LogPaths,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of await tablePaths(paths.log)) {
    const beganMs = performance.now();
    // One that was merged away meanwhile is no danger any more.
    const table = await readFileContent(path).catch(() => undefined);
    const isDanger = table !== undefined && (!table.isWhole || wouldAbort(table.content));
    if (isDanger) found.push(basename(path));
    await restUnless(signal, (performance.now() - beganMs) * restFactor);
    if (signal.aborted) return found;
  }
  // With such a table the next start after an end that was not in order looks first.
  if (found.length === 0) await markRunning(paths, 'never');
  return found;
}
