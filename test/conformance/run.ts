// Runs containerd's snapshotter suite against a snapshotter command, in each kill mode:
//
//   node test/conformance/run.ts [--kill none|between|during|all] [--long] [--serve COMMAND]
//                                [--blocks none|overlay|append|sparse|devices|all]
//   node test/conformance/run.ts --prove
//   node test/conformance/run.ts --prepare
//   node test/conformance/run.ts --build FILE
//   node test/conformance/run.ts --binary FILE ...
//
// `--prove` runs it against a stand-in instead: sound, it must pass; with a fault, it must not.
// `--prepare` only fetches and builds, which Go keeps. `--build` puts the suite's program into a
// file, and `--binary` runs that one, where there is no time to build it.
// Without a new enough Go or the module proxy it says so in one line and succeeds, unless
// VARVE_REQUIRE_GO=1. Everything that a run creates lies in one scratch directory.

import { spawnSync } from 'node:child_process';
import type { SpawnSyncReturns } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { deviceObstacle } from '../native/device-obstacle.ts';

const here = import.meta.dirname;
const caseCount = 21;
const goVersionNeeded = [1, 26, 6] as const;
const downloadTimeoutMs = 240_000;
const buildTimeoutMs = 400_000;
const shortTimeoutMs = 600_000;
const longTimeoutMs = 3_600_000;
const caseOutputLines = 80;

/** What lies below the suite's chains, and how what is above it is written. */
type BlockClass = 'none' | 'overlay' | 'append' | 'sparse';
const blockClasses: readonly BlockClass[] = ['none', 'overlay', 'append', 'sparse'];

type KillMode = 'none' | 'between' | 'during';
const killModes: readonly KillMode[] = ['none', 'between', 'during'];

interface Run {
  readonly testBinary: string;
  readonly command: string;
  readonly scratch: string;
  readonly long: boolean;
  readonly blocks: BlockClass;
  /** Which cases; all if not given. */
  readonly cases?: string;
  readonly environment: Readonly<Record<string, string>>;
}

interface Outcome {
  readonly passed: number;
  readonly sound: boolean;
  /** Whether a case failed, and not only what is demanded of all cases together. */
  readonly hasFailedCase: boolean;
  readonly report: readonly string[];
  readonly failures: string;
}

/** One line of what `go tool test2json` prints. */
interface TestEvent {
  readonly Action: string;
  readonly Test?: string;
  readonly Output?: string;
}

// The machine may have a varve of its own, whose sockets must not be taken.
const { VARVE_ADDRESS: _, VARVE_ADMIN_ADDRESS: __, ...inherited } = process.env;

const goEnvironment: NodeJS.ProcessEnv = {
  ...inherited,
  PATH: [process.env['PATH'] ?? '', '/usr/local/go/bin'].join(delimiter),
};

function go(parameters: readonly string[], timeoutMs: number): SpawnSyncReturns<string> {
  return spawnSync('go', parameters, {
    cwd: here,
    env: goEnvironment,
    encoding: 'utf8',
    timeout: timeoutMs,
  });
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

/** Why the suite cannot be built here, if it cannot. */
function reasonToSkip(): string | undefined {
  const version = go(['env', 'GOVERSION'], downloadTimeoutMs);
  if (version.error !== undefined) return 'no go in PATH';
  if (version.status !== 0) return lastLine(version.stderr);
  const found = version.stdout.trim().replace(/^go/, '');
  const parts = found.split('.').map((part) => Number.parseInt(part, 10));
  for (const [index, needed] of goVersionNeeded.entries()) {
    const part = parts[index] ?? 0;
    if (part > needed) break;
    if (part < needed) return `go ${found} is older than ${goVersionNeeded.join('.')}`;
  }
  const download = go(['mod', 'download'], downloadTimeoutMs);
  if (download.status === 0) return undefined;
  return `the Go module proxy does not serve the modules: ${lastLine(download.stderr)}`;
}

function build(parameters: readonly string[]): void {
  const built = go(parameters, buildTimeoutMs);
  if (built.status !== 0) throw new Error(`go ${parameters.join(' ')}\n${built.stderr}`);
}

function runMode(run: Run, kill: KillMode): Outcome {
  const cases = run.cases === undefined ? [] : [`-test.run=^TestSuite$/^(${run.cases})$`];
  const outputPath = join(run.scratch, `output-${kill}`);
  const output = openSync(outputPath, 'w');
  // The kernel's target is one, so its daemons are, too.
  const parallel = process.env['VARVE_TRANSPORT'] === 'tcmu' ? 1 : 4;
  const fixed = ['-test.v=test2json', `-test.parallel=${parallel}`, '-test.timeout=0'];
  const parameters = [...fixed, ...cases];
  // Killed when it takes too long; the servers that it started end with it.
  const result = spawnSync(run.testBinary, parameters, {
    cwd: here,
    env: {
      ...goEnvironment,
      ...run.environment,
      TMPDIR: run.scratch,
      VARVE_SERVE: run.command,
      VARVE_KILL: kill,
      VARVE_BLOCKS: run.blocks,
      VARVE_BD: join(dirname(dirname(here)), 'build/native/varve-bd'),
      VARVE_LONG: run.long ? '1' : '0',
    },
    stdio: ['ignore', output, output],
    timeout: run.long ? longTimeoutMs : shortTimeoutMs,
    killSignal: 'SIGKILL',
  });
  closeSync(output);
  const events = spawnSync('go', ['tool', 'test2json'], {
    cwd: here,
    env: goEnvironment,
    input: readFileSync(outputPath),
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  const outcome = outcomeOf(events.stdout, result.status === 0);
  if (result.error === undefined) return outcome;
  return { ...outcome, failures: `${outcome.failures}\n${String(result.error)}` };
}

function outcomeOf(text: string, succeeded: boolean): Outcome {
  const outputs = new Map<string, string[]>();
  const failed: string[] = [];
  const report: string[] = [];
  let passed = 0;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const event = JSON.parse(line) as TestEvent;
    const test = event.Test ?? '';
    if (event.Output?.startsWith('conformance: ') === true) report.push(event.Output.trimEnd());
    else if (event.Output !== undefined) {
      outputs.set(test, [...(outputs.get(test) ?? []), event.Output.trimEnd()]);
    }
    if (event.Action === 'pass' && test.includes('/')) passed += 1;
    if (event.Action === 'fail') failed.push(test);
  }
  const failures = failed.map((test) => readable(outputs.get(test) ?? []).join('\n')).join('\n');
  const hasFailedCase = failed.some((test) => test.includes('/'));
  const sound = succeeded && passed === caseCount;
  return { passed, sound, hasFailedCase, report, failures };
}

/** The suite dumps whole directories and every mount; what is left is what went wrong. */
function readable(lines: readonly string[]): readonly string[] {
  const noise = /helpers\.go:(79|81): |msg="activating mount"|^=== /;
  const fromServer = /^.*msg="(server: .*)" func=.*$/;
  const kept = lines
    .filter((line) => !noise.test(line))
    .map((line) => line.replace(fromServer, '    $1').replaceAll('\\"', '"'));
  return kept.slice(-caseOutputLines);
}

function unmountBelow(directory: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${directory}/`));
  for (const point of points.reverse()) spawnSync('umount', ['-l', point]);
}

function checkModes(run: Run, modes: readonly KillMode[]): boolean {
  let sound = true;
  for (const kill of modes) {
    const outcome = runMode(run, kill);
    if (!outcome.sound) process.stdout.write(`${outcome.failures}\n`);
    for (const line of outcome.report) process.stdout.write(`${line}\n`);
    const blocks = run.blocks === 'none' ? '' : `${run.blocks} over block devices, `;
    process.stdout.write(
      `conformance (${blocks}kill ${kill}): ${outcome.passed} of ${caseCount} passed` +
        `${outcome.sound ? '' : ': FAILED'}\n`,
    );
    sound &&= outcome.sound;
  }
  return sound;
}

/** Kills between and during calls on block devices are proven where there is time for it. */
function checkClasses(
  run: Run,
  classes: readonly BlockClass[],
  modes: readonly KillMode[],
): boolean {
  let sound = true;
  const obstacle = deviceObstacle();
  for (const blocks of classes) {
    if (blocks !== 'none' && obstacle !== undefined) {
      process.stdout.write(`conformance: ${blocks} over block devices left out: ${obstacle}\n`);
      continue;
    }
    const isShort = blocks !== 'none' && !run.long && modes.length > 1;
    sound = checkModes({ ...run, blocks }, isShort ? ['none'] : modes) && sound;
  }
  return sound;
}

const casesWithFaults = 'Basic|Remove|Walk';
const faults: readonly (readonly [string, KillMode])[] = [
  ['labels', 'none'],
  ['term', 'none'],
  ['mount', 'none'],
  ['late-remove', 'none'],
  ['left-on-disk', 'none'],
  ['not-serving', 'none'],
  ['half-prepare', 'during'],
];

function prove(run: Run): boolean {
  let sound = checkModes({ ...run, long: false }, killModes);
  for (const [fault, kill] of faults) {
    const environment = { STAND_IN_FAULT: fault };
    const outcome = runMode({ ...run, long: true, cases: casesWithFaults, environment }, kill);
    const noticed = outcome.hasFailedCase;
    const verdict = noticed ? 'noticed' : 'NOT NOTICED';
    process.stdout.write(`conformance: fault ${fault} (kill ${kill}): ${verdict}\n`);
    sound &&= noticed;
  }
  return sound;
}

function main(): number {
  const { values } = parseArgs({
    options: {
      kill: { type: 'string', default: 'all' },
      long: { type: 'boolean', default: process.env['VARVE_LONG'] === '1' },
      serve: {
        type: 'string',
        default: process.env['VARVE_SERVE'] ?? join(dirname(dirname(here)), 'bin/varve'),
      },
      blocks: { type: 'string', default: 'all' },
      prove: { type: 'boolean', default: false },
      prepare: { type: 'boolean', default: false },
      build: { type: 'string' },
      binary: { type: 'string' },
    },
  });
  const classes = blockClasses.filter(
    (one) =>
      one === values.blocks ||
      values.blocks === 'all' ||
      (values.blocks === 'devices' && one !== 'none'),
  );
  if (classes.length === 0) {
    throw new Error(`--blocks is one of ${blockClasses.join(', ')}, devices and all`);
  }
  const modes = values.kill === 'all' ? killModes : killModes.filter((one) => one === values.kill);
  if (modes.length === 0) {
    process.stderr.write(`conformance: --kill is ${values.kill}: none, between, during or all\n`);
    return 2;
  }
  if (values.binary !== undefined) return runIn(values.binary);
  const skip = process.getuid?.() === 0 ? reasonToSkip() : 'it mounts, so it must be run as root';
  if (skip !== undefined) {
    process.stdout.write(`conformance: skipped: ${skip}\n`);
    return process.env['VARVE_REQUIRE_GO'] === '1' ? 1 : 0;
  }
  return runIn(undefined);

  function runIn(binary: string | undefined): number {
    const scratch = mkdtempSync(join(tmpdir(), 'varve-conformance-'));
    try {
      const testBinary = binary ?? values.build ?? join(scratch, 'conformance.test');
      const standIn = join(scratch, 'stand-in');
      if (binary === undefined) build(['test', '-c', '-o', resolve(testBinary), '.']);
      if (values.prove || values.prepare) build(['build', '-o', standIn, './stand-in']);
      if (values.prepare || values.build !== undefined) return 0;
      const command = values.prove ? standIn : resolve(values.serve);
      const run: Run = {
        ...{ testBinary, command, scratch, long: values.long, blocks: 'none', environment: {} },
      };
      return (values.prove ? prove(run) : checkClasses(run, classes, modes)) ? 0 : 1;
    } finally {
      unmountBelow(scratch);
      rmSync(scratch, { recursive: true, force: true });
    }
  }
}

process.exitCode = main();
