// The report: Markdown, printed as it comes and kept for a file.

const output: string[] = [];

export function print(line = ''): void {
  output.push(line);
  console.log(line);
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): void {
  print(`| ${head.join(' | ')} |`);
  print(`|${head.map((_, index) => (index === 0 ? '---' : '--:')).join('|')}|`);
  for (const row of rows) print(`| ${row.join(' | ')} |`);
  print();
}

/** Everything printed so far. */
export const report = (): string => `${output.join('\n')}\n`;

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
};

/** The median of the ratios of two contestants, taken round by round. */
export const ratioOf = (mine: readonly number[], theirs: readonly number[]): string =>
  `${median(mine.map((value, round) => value / (theirs[round] ?? Number.NaN))).toFixed(2)}×`;

/** What so large a share of the durations is not above, such as `12 ms`. */
export const rank = (valuesMs: readonly number[], share: number): string => {
  const sorted = [...valuesMs].sort((a, b) => a - b);
  return `${(sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN).toFixed(0)} ms`;
};
