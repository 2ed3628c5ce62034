// `make test` and `make test-long`: runs the suites in order, one line each, says in full what
// failed and nothing of what passed, and ends with a look for anything left behind. The last line
// holds the counts alone, for programs that read them.
//
//   test.ts [--long] [--only SUITE]...
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describeLeftovers, findLeftovers, removeLeftovers, runVariable } from './test/leaks.ts';
import { countsMark } from './test/node-reporter.ts';
import { endAll, run } from './test/run.ts';
import { suitesOf, type Counts, type Suite } from './test/suites.ts';

const checkout = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const argv = process.argv.slice(2);
const isLong = argv.includes('--long');
const only = argv.filter((_, index) => argv[index - 1] === '--only');

const runName = `${process.pid}`;
// Short, since sockets lie in it and their paths are limited to 107 bytes.
const scratch = `${tmpdir()}/vt${runName}`;
const total = { passed: 0, failed: 0, skipped: 0 };
const say = (text: string): void => void process.stdout.write(text);
// Whoever watches may go away; what was started is taken down all the same.
process.stdout.on('error', () => undefined);

function add(counts: Counts): void {
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}

function describe({ passed, failed, skipped }: Counts): string {
  const parts = [`${passed} passed`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (skipped > 0) parts.push(`${skipped} skipped`);
  return parts.join(', ');
}

const sum = (list: readonly Counts[]): Counts => ({
  passed: list.reduce((count, one) => count + one.passed, 0),
  failed: list.reduce((count, one) => count + one.failed, 0),
  skipped: list.reduce((count, one) => count + one.skipped, 0),
  skips: list.flatMap(({ skips }) => skips),
});

interface Failure {
  readonly step: string;
  readonly output: string;
  readonly logPath: string;
}

/** Runs the steps of a suite until one of them cannot go on. */
async function runSteps(suite: Suite): Promise<{ counts: Counts; failures: Failure[] }> {
  const budgetSeconds = isLong ? suite.longBudgetSeconds : suite.budgetSeconds;
  const { firstTimeSeconds = 0 } = suite;
  const endsAt = Date.now() + (4 * budgetSeconds + firstTimeSeconds) * 1000;
  const counted: Counts[] = [];
  const failures: Failure[] = [];
  for (const [index, step] of suite.steps.entries()) {
    const logPath = `${checkout}/build/log/test-${suite.name}-${index + 1}.log`;
    const result = await run({
      argv: step.argv,
      cwd: checkout,
      env: {
        ...suite.env,
        TMPDIR: scratch,
        [runVariable]: runName,
        VARVE_LONG: isLong ? '1' : '0',
        VARVE_SERVE: `${checkout}/bin/varve`,
      },
      timeoutSeconds: Math.max(1, Math.round((endsAt - Date.now()) / 1000)),
      logPath,
    });
    const ownCounts = step.count?.(result.output) ?? {
      passed: result.status === 0 ? 1 : 0,
      failed: 0,
      skipped: 0,
      skips: [],
    };
    // A command that fails without naming a failed test is a failure of its own.
    const isFailed = result.status !== 0 || ownCounts.failed > 0;
    counted.push(isFailed ? { ...ownCounts, failed: Math.max(1, ownCounts.failed) } : ownCounts);
    if (isFailed) failures.push({ step: step.name, output: result.output, logPath });
    if (isFailed && step.name.startsWith('build')) break;
  }
  return { counts: sum(counted), failures };
}

async function runSuite(suite: Suite): Promise<void> {
  const budgetSeconds = isLong ? suite.longBudgetSeconds : suite.budgetSeconds;
  say(`${suite.name} … `);
  const begin = Date.now();
  const { counts, failures } = await runSteps(suite);
  const seconds = Math.round((Date.now() - begin) / 1000);
  const verdict = failures.length === 0 ? 'ok' : 'FAILED';
  const over = seconds > budgetSeconds ? ', OVER BUDGET' : '';
  say(`${verdict} ${seconds} s (budget ${budgetSeconds} s${over}), ${describe(counts)}\n`);
  for (const { step, output, logPath } of failures) {
    const text = output.split('\n').filter((line) => !line.startsWith(countsMark));
    say(`  ${step} failed:\n${text.join('\n').trim().replace(/^/gm, '    ')}\n`);
    say(`  whole log: ${logPath}\n`);
  }
  const reasons = new Map<string, number>();
  for (const skip of counts.skips) {
    const reason = skip.slice(skip.lastIndexOf(': ') + 2);
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  for (const [reason, count] of reasons) say(`  ${count} skipped: ${reason}\n`);
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
  if (count === 0) total.passed += 1;
  else total.failed += 1;
  removeLeftovers(scratch, leftovers);
}

rmSync(scratch, { recursive: true, force: true });
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
say(`all suites in ${Math.round((Date.now() - begin) / 1000)} s\n`);
say(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
