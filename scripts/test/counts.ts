// What the commands of the suites print about their tests, read as counts, and how counts and
// skipped tests are shown.
import { countsMark, type NodeCounts, type Skip } from './node-reporter.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly skips: readonly Skip[];
}

export const noCounts: Counts = { passed: 0, failed: 0, skipped: 0, skips: [] };

/** Reads the line that the reporter ends with. */
export function countNodeTests(output: string): Counts | undefined {
  const line = output.split('\n').findLast((text) => text.startsWith(countsMark));
  if (line === undefined) return undefined;
  const counts = JSON.parse(line.slice(countsMark.length)) as NodeCounts satisfies Counts;
  // A suite that is skipped as a whole is in no count of Node's.
  return { ...counts, skipped: Math.max(counts.skipped, counts.skips.length) };
}

/** Reads the line per kind of run that test/conformance/run.ts prints, or why it did nothing. */
export function countConformance(output: string): Counts | undefined {
  const skip = /^conformance: skipped: (.*)$/m.exec(output);
  if (skip !== null) {
    const skips = [{ name: 'containerd’s suite', reason: skip[1] ?? '' }];
    return { ...noCounts, skipped: 1, skips };
  }
  const runs = [...output.matchAll(/^conformance \([^()]*kill \w+\): (\d+) of (\d+) passed/gm)];
  const faults = [...output.matchAll(/^conformance: fault .*: (noticed|NOT NOTICED)$/gm)];
  if (runs.length === 0) return undefined;
  const noticed = faults.filter((match) => match[1] === 'noticed').length;
  const passed = runs.reduce((count, match) => count + Number(match[1]), noticed);
  const all = runs.reduce((count, match) => count + Number(match[2]), faults.length);
  return { passed, failed: all - passed, skipped: 0, skips: [] };
}

/**
 * Reads ctest's summary, which counts a skipped test as passed, its list of skipped ones, and what
 * scripts/ctest.sh adds to it.
 */
export function countNativeTests(output: string): Counts | undefined {
  const summary = /(\d+)% tests passed, (\d+) tests failed out of (\d+)/.exec(output);
  if (summary === null) return undefined;
  const failed = Number(summary[2]);
  const reasons = new Map(
    [...output.matchAll(/^skipped (\S+): (.*)$/gm)].map((match) => [match[1], match[2]]),
  );
  const skips = [...output.matchAll(/^\s+\d+ - (\S+) \(Skipped\)$/gm)].map((match) => ({
    name: match[1] ?? '',
    reason: reasons.get(match[1]) ?? 'no reason is told',
  }));
  const skipped = skips.length;
  return { passed: Number(summary[3]) - failed - skipped, failed, skipped, skips };
}

export const sum = (list: readonly Counts[]): Counts => ({
  passed: list.reduce((count, one) => count + one.passed, 0),
  failed: list.reduce((count, one) => count + one.failed, 0),
  skipped: list.reduce((count, one) => count + one.skipped, 0),
  skips: list.flatMap(({ skips }) => skips),
});

export function describeCounts({ passed, failed, skipped }: Counts): string {
  const parts = [`${passed} passed`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (skipped > 0) parts.push(`${skipped} skipped`);
  return parts.join(', ');
}

/** One line for each reason: what was skipped, and why. */
export function describeSkips(skips: readonly Skip[]): string[] {
  const names = new Map<string, string[]>();
  for (const { name, reason } of skips) names.set(reason, [...(names.get(reason) ?? []), name]);
  return [...names].map(([reason, [first = '', ...others]]) => {
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    return `skipped: ${first}${more}: ${reason}`;
  });
}

/** What a failed command names as failed: its tests, ctest's, or else its last line. */
export function namesOfFailed(output: string): string[] {
  const tests = [...output.matchAll(/^✖ (.+)$/gm)].map((match) => match[1] ?? '');
  const native = [...output.matchAll(/^\s+\d+ - (\S+) \((?!Skipped\)).*\)$/gm)];
  const named = [...tests, ...native.map((match) => match[1] ?? '')];
  if (named.length > 0) return named;
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return [lines.findLast((line) => !line.startsWith(countsMark)) ?? 'it says nothing'];
}
