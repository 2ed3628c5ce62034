// The runner of the suites: what it says of tests that were skipped, and what CI requires.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test, type TestContext } from 'node:test';
import {
  countConformance,
  countNativeTests,
  countNodeTests,
  describeCounts,
  describeSkips,
  namesOfFailed,
  type Counts,
} from '../scripts/test/counts.ts';
import { shortBudgetSeconds, suitesOf } from '../scripts/test/suites.ts';

const checkout = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'runner-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The counts of a test file, run with the reporter that the suites run with. */
function countsOf(t: TestContext, text: string): Counts {
  const path = join(directoryOf(t), 'some.test.mjs');
  writeFileSync(path, `import { describe, test } from 'node:test';\n${text}`);
  const reporter = `--test-reporter=${checkout}/scripts/test/node-reporter.ts`;
  // Within a test Node would report to it, and not with the reporter.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout } = spawnSync(process.execPath, ['--test', reporter, path], {
    env,
    encoding: 'utf8',
  });
  const counts = countNodeTests(stdout);
  assert.ok(counts !== undefined, stdout);
  return counts;
}

test('a skipped test is named with its whole reason, and counted', (t) => {
  const counts = countsOf(
    t,
    `test('passes', () => {});
     test('first', { skip: 'no go in PATH' }, () => {});
     test('second', { skip: 'no proxy: dial tcp: no such host' }, () => {});
     describe('containerd 2.4', { skip: 'no go in PATH' }, () => { test('one', () => {}); });`,
  );
  assert.equal(describeCounts(counts), '1 passed, 3 skipped');
  assert.deepEqual(describeSkips(counts.skips), [
    'skipped: first and 1 more: no go in PATH',
    'skipped: second: no proxy: dial tcp: no such host',
  ]);
});

test('a conformance suite that cannot run is skipped with its whole reason', () => {
  const reason = 'the Go module proxy does not serve the modules: dial tcp: no such host';
  const counts = countConformance(`conformance: skipped: ${reason}\n`);
  assert.ok(counts !== undefined);
  assert.equal(counts.skipped, 1);
  assert.deepEqual(describeSkips(counts.skips), [`skipped: containerd’s suite: ${reason}`]);
});

test('a skipped GoogleTest has not passed', () => {
  const output = [
    '100% tests passed, 0 tests failed out of 61',
    'Total Test time (real) =   0.56 sec',
    'The following tests did not run:',
    '\t  3 - MountsTest.OverlayOnLongPaths (Skipped)',
    '\t 40 - SyscallsTest.StatxKnowsMountRoots (Skipped)',
    'skipped MountsTest.OverlayOnLongPaths: needs root',
    'skipped SyscallsTest.StatxKnowsMountRoots: needs root',
  ].join('\n');
  const counts = countNativeTests(output);
  assert.ok(counts !== undefined);
  assert.equal(describeCounts(counts), '59 passed, 2 skipped');
  assert.deepEqual(describeSkips(counts.skips), [
    'skipped: MountsTest.OverlayOnLongPaths and 1 more: needs root',
  ]);
});

test('what failed is named again, so that the end of a long output suffices', () => {
  const ofNode = `✖ first  (/test/a.test.ts:3)\n    Error: no\n✖ second  (/test/b.test.ts:9)\n`;
  const ofCtest = '\t  3 - A.Skips (Skipped)\n\t  4 - A.Fails (Failed)\n\t  5 - A.Ends (Timeout)\n';
  assert.deepEqual(namesOfFailed(ofNode), [
    'first  (/test/a.test.ts:3)',
    'second  (/test/b.test.ts:9)',
  ]);
  assert.deepEqual(namesOfFailed(ofCtest), ['A.Fails', 'A.Ends']);
  assert.deepEqual(namesOfFailed('one\nsrc/a.ts(1,1): error TS1005\n\n'), [
    'src/a.ts(1,1): error TS1005',
  ]);
});

test('the budgets of the suites add up to no more than that of all', () => {
  const suites = suitesOf({ checkout, isLong: false });
  const sumSeconds = suites.reduce((seconds, { budgetSeconds }) => seconds + budgetSeconds, 0);
  assert.ok(sumSeconds <= shortBudgetSeconds, `${sumSeconds} s`);
});

/** What the installation of Debian packages would be asked for where these are missing. */
function askedOfDebian(t: TestContext, missing: readonly string[]): string {
  const directory = directoryOf(t);
  const program = (name: string, text: string): void =>
    writeFileSync(join(directory, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const cases = missing.map((name) => `*" ${name}") exit 1;;`).join(' ');
  program('dpkg-query', `case "$*" in ${cases} esac; echo installed`);
  program('apt-get', 'echo "$@" >>"$ASKED"');
  program('id', 'echo 0');
  const asked = join(directory, 'asked');
  writeFileSync(asked, '');
  execFileSync(`${checkout}/scripts/install-packages.sh`, ['debian'], {
    env: { PATH: `${directory}:/usr/bin:/bin`, ASKED: asked },
    stdio: 'pipe',
  });
  return readFileSync(asked, 'utf8');
}

test('a build without what is only welcome asks for nothing', (t) => {
  assert.equal(askedOfDebian(t, ['ccache']), '');
  assert.match(askedOfDebian(t, ['ccache', 'cmake']), /install -y --no-remove .* cmake ccache\n$/);
});

test('CI requires what needs Go, wherever Go lies', (t) => {
  const directory = directoryOf(t);
  writeFileSync(join(directory, 'make'), '#!/bin/sh\necho "$1 $VARVE_REQUIRE_GO"\n', {
    mode: 0o755,
  });
  const env = { PATH: `${directory}:/usr/bin:/bin` };
  const printed = execFileSync(`${checkout}/.ci/run`, { env, encoding: 'utf8' });
  assert.equal(printed, 'test 1\n');
});
