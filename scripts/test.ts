// `make test` and `make test-long`: runs the suites in order, one line each, says in full what
// failed and nothing of what passed, and ends with a look for anything left behind. The last line
// holds the counts alone, for programs that read them.
//
//   test.ts [--long] [--only SUITE]...
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import {
  describeCounts,
  describeSkips,
  namesOfFailed,
  noCounts,
  sum,
  type Counts,
} from './test/counts.ts';
import { describeLeftovers, findLeftovers, removeLeftovers, runVariable } from './test/leaks.ts';
import { countsMark } from './test/node-reporter.ts';
import { endAll, run } from './test/run.ts';
import { preparationSeconds, shortBudgetSeconds, suitesOf, type Suite } from './test/suites.ts';

const checkout = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const argv = process.argv.slice(2);
const isLong = argv.includes('--long');
const only = argv.filter((_, index) => argv[index - 1] === '--only');

const runName = `${process.pid}`;
// Short, since sockets lie in it and their paths are limited to 107 bytes.
const scratch = `${tmpdir()}/vt${runName}`;
const total = { seconds: 0, passed: 0, failed: 0, skipped: 0 };
/** What failed, a line each, for the end: there it is found without a search. */
const failedLines: string[] = [];
const say = (text: string): void => void process.stdout.write(text);
// Whoever watches may go away; what was started is taken down all the same.
process.stdout.on('error', () => undefined);

function add(counts: Counts): void {
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}

interface Failure {
  readonly step: string;
  readonly output: string;
  readonly logPath: string;
}

interface SuiteResult {
  readonly counts: Counts;
  readonly failures: readonly Failure[];
  readonly preparationSeconds: number;
}

const secondsSince = (begin: number): number => Math.round((Date.now() - begin) / 1000);

/** Runs the steps of a suite until one of them cannot go on. */
async function runSteps(suite: Suite): Promise<SuiteResult> {
  const budgetSeconds = isLong ? suite.longBudgetSeconds : suite.budgetSeconds;
  let remainingSeconds = 4 * budgetSeconds;
  let preparedSeconds = 0;
  const counted: Counts[] = [];
  const failures: Failure[] = [];
  for (const [index, step] of suite.steps.entries()) {
    const { isPreparation = false } = step;
    const logPath = `${checkout}/build/log/test-${suite.name}-${index + 1}.log`;
    const begin = Date.now();
    const result = await run({
      argv: step.argv,
      cwd: checkout,
      env: {
        ...suite.env,
        ...step.env,
        TMPDIR: scratch,
        [runVariable]: runName,
        VARVE_LONG: isLong ? '1' : '0',
        VARVE_SERVE: `${checkout}/bin/varve`,
      },
      timeoutSeconds: isPreparation ? preparationSeconds : Math.max(1, remainingSeconds),
      logPath,
    });
    if (isPreparation) preparedSeconds += secondsSince(begin);
    else remainingSeconds -= secondsSince(begin);
    const isWhole = step.count === undefined && !isPreparation;
    const ownCounts = step.count?.(result.output) ?? {
      ...noCounts,
      passed: isWhole && result.status === 0 ? 1 : 0,
    };
    // A command that fails without naming a failed test is a failure of its own.
    const isFailed = result.status !== 0 || ownCounts.failed > 0;
    counted.push(isFailed ? { ...ownCounts, failed: Math.max(1, ownCounts.failed) } : ownCounts);
    if (isFailed) failures.push({ step: step.name, output: result.output, logPath });
    if (isFailed && isPreparation) break;
  }
  return { counts: sum(counted), failures, preparationSeconds: preparedSeconds };
}

async function runSuite(suite: Suite): Promise<void> {
  const budgetSeconds = isLong ? suite.longBudgetSeconds : suite.budgetSeconds;
  say(`${suite.name} … `);
  const begin = Date.now();
  const { counts, failures, preparationSeconds: preparedSeconds } = await runSteps(suite);
  const seconds = secondsSince(begin) - preparedSeconds;
  const verdict = failures.length === 0 ? 'ok' : 'FAILED';
  const over = seconds > budgetSeconds ? ', OVER BUDGET' : '';
  const prepared = preparedSeconds > 1 ? `, after ${preparedSeconds} s of preparation` : '';
  const time = `${seconds} s (budget ${budgetSeconds} s${over}${prepared})`;
  say(`${verdict} ${time}, ${describeCounts(counts)}\n`);
  for (const { step, output, logPath } of failures) {
    const text = output.split('\n').filter((line) => !line.startsWith(countsMark));
    say(`  ${step} failed:\n${text.join('\n').trim().replace(/^/gm, '    ')}\n`);
    say(`  whole log: ${logPath}\n`);
    failedLines.push(...namesOfFailed(output).map((name) => `${suite.name}, ${step}: ${name}`));
  }
  for (const line of describeSkips(counts.skips)) say(`  ${line}\n`);
  total.seconds += seconds;
  add(counts);
}

/**
 * The check that nothing is left, counted as one test; what is left is removed after it was named.
 */
function checkLeftovers(): void {
  const leftovers = findLeftovers(scratch, runName);
  const lines = describeLeftovers(leftovers);
  const count = lines.length;
  say(count === 0 ? 'leftovers … ok, none\n' : `leftovers … FAILED, ${count}\n`);
  for (const line of lines) say(`  ${line}\n`);
  failedLines.push(...lines.map((line) => `leftovers: ${line}`));
  if (count === 0) total.passed += 1;
  else total.failed += 1;
  removeLeftovers(scratch, leftovers);
}

// A run that was killed may have had this process's number.
removeLeftovers(scratch, findLeftovers(scratch, runName));
mkdirSync(scratch, { mode: 0o700 });
const interruption = { received: false };
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interruption.received = true;
    endAll();
  });
}

const begin = Date.now();
for (const suite of suitesOf({ checkout, isLong })) {
  if (interruption.received) break;
  if (only.length === 0 || only.includes(suite.name)) await runSuite(suite);
}
checkLeftovers();
if (interruption.received) {
  say('interrupted\n');
  total.failed += 1;
}
const isShort = !isLong && only.length === 0;
const isOver = isShort && total.seconds > shortBudgetSeconds;
const budget = isShort ? ` of ${shortBudgetSeconds} s${isOver ? ', OVER BUDGET' : ''}` : '';
const preparedSeconds = secondsSince(begin) - total.seconds;
const aside = preparedSeconds > 1 ? `, and ${preparedSeconds} s of preparation` : '';
say(`all suites in ${total.seconds} s${budget}${aside}\n`);
for (const line of failedLines) say(`failed: ${line}\n`);
say(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
