// The reporter that the suites run with: it keeps quiet about what passes and says of each failure
// everything that is known. The last line is a JSON document with the counts, for the runner.
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** A test that was skipped, and why. */
export interface Skip {
  readonly name: string;
  readonly reason: string;
}

export interface NodeCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** The tests, and suites as a whole, that were skipped with a reason. */
  readonly skips: readonly Skip[];
}

/** Marks the line of counts in the output. */
export const countsMark = '#varve-counts ';

/**
 * The cause of a failure is what the test threw; the wrapper around it only says that it failed.
 */
function failureText(error: Error): string {
  const thrown: unknown = error.cause ?? error;
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : inspect(thrown);
  return text.replace(/^/gm, '    ');
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const skips: Skip[] = [];
  const output = new Map<string, string>();
  const failedFiles = new Set<string>();
  const isFileItself = (file: string | undefined, name: string): boolean =>
    file !== undefined && file.endsWith(name);
  let counts = { passed: 0, failed: 0, skipped: 0 };

  for await (const event of source) {
    switch (event.type) {
      case 'test:stdout':
      case 'test:stderr': {
        const { file, message } = event.data;
        output.set(file, (output.get(file) ?? '') + message);
        break;
      }
      case 'test:pass':
        if (typeof event.data.skip === 'string') {
          skips.push({ name: event.data.name, reason: event.data.skip });
        }
        break;
      case 'test:fail': {
        const { name, file, line, details } = event.data;
        if (file !== undefined) failedFiles.add(file);
        // A parent that fails only because of its children has nothing to add.
        const { failureType } = details.error as { failureType?: string };
        if (failureType === 'subtestsFailed' && !isFileItself(file, name)) break;
        yield `✖ ${name}  (${file ?? ''}:${line ?? 0})\n${failureText(details.error)}\n`;
        break;
      }
      case 'test:summary': {
        if (event.data.file !== undefined) break;
        // The counts of failed tests are in no version's type.
        const { passed, failed, cancelled, skipped, todo } = event.data.counts as unknown as Record<
          string,
          number | undefined
        >;
        counts = {
          passed: passed ?? 0,
          failed: (failed ?? 0) + (cancelled ?? 0),
          skipped: (skipped ?? 0) + (todo ?? 0),
        };
        break;
      }
      default:
    }
  }
  for (const file of failedFiles) {
    const text = output.get(file);
    if (text !== undefined) yield `output of ${file}:\n${text.replace(/^/gm, '    ')}\n`;
  }
  const last: NodeCounts = { ...counts, skips };
  yield `${countsMark}${JSON.stringify(last)}\n`;
}
