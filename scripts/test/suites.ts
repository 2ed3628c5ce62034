// The suites of `make test`, in the order in which they run: quick ones that point at the cause
// first. Each has a budget; a suite that takes twice as long is ended and has failed.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { countsMark, type NodeCounts } from './node-reporter.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly skips: readonly string[];
}

export interface Step {
  readonly name: string;
  readonly argv: readonly string[];
  /** Reads the counts from the output; without it the step itself is one check. */
  readonly count?: (output: string) => Counts | undefined;
}

export interface Suite {
  readonly name: string;
  /** Variables for every step. */
  readonly env?: Readonly<Record<string, string>>;
  readonly budgetSeconds: number;
  readonly longBudgetSeconds: number;
  readonly steps: readonly Step[];
  /** Says what this machine lacks for the suite; undefined if nothing. */
  readonly lacks?: () => string | undefined;
}

export interface SuiteOptions {
  readonly checkout: string;
  readonly isLong: boolean;
}

const node = process.execPath;
const nodeModules = (script: string): string => `node_modules/${script}`;

/** Reads the line that the reporter ends with. */
function countNodeTests(output: string): Counts | undefined {
  const line = output.split('\n').findLast((text) => text.startsWith(countsMark));
  return line === undefined
    ? undefined
    : (JSON.parse(line.slice(countsMark.length)) as NodeCounts satisfies Counts);
}

/** Reads the verdicts of `go test -v`, of subtests only where a test has some. */
function countGoTests(output: string): Counts {
  const verdicts = [...output.matchAll(/^\s*--- (PASS|FAIL|SKIP): (\S+)/gm)];
  const names = verdicts.map((match) => match[2] ?? '');
  const leaves = verdicts.filter((match) => {
    const prefix = `${match[2] ?? ''}/`;
    return !names.some((name) => name.startsWith(prefix));
  });
  const of = (verdict: string): number => leaves.filter((match) => match[1] === verdict).length;
  return { passed: of('PASS'), failed: of('FAIL'), skipped: of('SKIP'), skips: [] };
}

/** Reads the summary of each GoogleTest program that ctest ran, or ctest's own. */
function countNativeTests(output: string): Counts | undefined {
  const summary = /(\d+)% tests passed, (\d+) tests failed out of (\d+)/.exec(output);
  if (summary === null) return undefined;
  const failed = Number(summary[2]);
  return { passed: Number(summary[3]) - failed, failed, skipped: 0, skips: [] };
}

/** A step that runs the files below test/ whose path matches. */
function nodeTests(pattern: string, concurrency = 2): Step {
  return {
    name: pattern,
    argv: [
      node,
      '--test',
      '--test-reporter=./scripts/test/node-reporter.ts',
      `--test-concurrency=${concurrency}`,
      `test/${pattern}`,
    ],
    count: countNodeTests,
  };
}

/** Says why the suites that need Go cannot run; undefined if they can. */
function lacksGo(): string | undefined {
  try {
    const version = execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8', cwd: '/' });
    const [, major = '0', minor = '0'] = /go(\d+)\.(\d+)/.exec(version) ?? [];
    if (Number(major) * 1000 + Number(minor) < 1026)
      return `Go 1.26 needed, ${version.trim()} found`;
  } catch {
    return 'Go is not in PATH';
  }
  try {
    const options = { cwd: 'test/conformance', stdio: 'ignore', timeout: 240_000 } as const;
    execFileSync('go', ['mod', 'download'], options);
  } catch {
    return 'the Go module proxy cannot be reached';
  }
  return undefined;
}

/** Areas with a budget of their own: seconds in the short and in the long form. */
const areas: readonly {
  readonly name: string;
  readonly budget: readonly [number, number];
  readonly folders: readonly string[];
  readonly concurrency?: number;
}[] = [
  { name: 'machines', budget: [20, 60], folders: ['kernel', 'unit', 'machines', 'catalog'] },
  { name: 'property', budget: [30, 600], folders: ['property'] },
  { name: 'configuration', budget: [10, 20], folders: ['config'] },
  { name: 'history', budget: [20, 60], folders: ['history'] },
  { name: 'engine', budget: [30, 300], folders: ['engine'] },
  { name: 'store', budget: [60, 900], folders: ['store', 'level', 'adapters'] },
  { name: 'server', budget: [60, 300], folders: ['server', 'grpc'] },
  { name: 'cli', budget: [40, 120], folders: ['cli'] },
  { name: 'histories', budget: [20, 60], folders: ['histories'] },
  { name: 'traces', budget: [40, 120], folders: ['traces'] },
  { name: 'crash', budget: [60, 900], folders: ['crash'], concurrency: 1 },
  { name: 'demo', budget: [20, 60], folders: ['demo'], concurrency: 1 },
  { name: 'e2e', budget: [120, 900], folders: ['e2e'], concurrency: 1 },
];

/** Folders whose tests other suites run. */
const foldersOfOthers = ['native', 'conformance'];

const hasTests = (checkout: string, folder: string): boolean =>
  existsSync(`${checkout}/test/${folder}`) &&
  readdirSync(`${checkout}/test/${folder}`, { recursive: true }).some((name) =>
    String(name).endsWith('.test.ts'),
  );

function areaSuites({ checkout }: SuiteOptions): Suite[] {
  const known = new Set([...areas.flatMap(({ folders }) => folders), ...foldersOfOthers]);
  const others = readdirSync(`${checkout}/test`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !known.has(entry.name))
    .map(({ name }) => ({ name, budget: [60, 300] as const, folders: [name], concurrency: 1 }));
  return [...areas.slice(0, -1), ...others, ...areas.slice(-1)].flatMap((area) => {
    const folders = area.folders.filter((folder) => hasTests(checkout, folder));
    if (folders.length === 0) return [];
    const [budgetSeconds, longBudgetSeconds] = area.budget;
    const steps = folders.map((folder) => nodeTests(`${folder}/**/*.test.ts`, area.concurrency));
    return [{ name: area.name, budgetSeconds, longBudgetSeconds, steps }];
  });
}

function sourcesSuite({ checkout }: SuiteOptions): Suite {
  const prettier = [
    nodeModules('prettier/bin/prettier.cjs'),
    '--check',
    '--log-level',
    'warn',
    '.',
  ];
  return {
    name: 'sources',
    budgetSeconds: 60,
    longBudgetSeconds: 60,
    env: { NODE_COMPILE_CACHE: `${checkout}/build/compile-cache` },
    steps: [
      { name: 'types', argv: [node, nodeModules('typescript/bin/tsc'), '--noEmit'] },
      { name: 'rules', argv: [node, nodeModules('eslint/bin/eslint.js'), '.'] },
      { name: 'formatting', argv: [node, ...prettier] },
      nodeTests('*.test.ts'),
    ],
  };
}

function nativeSuite({ checkout, isLong }: SuiteOptions): Suite {
  const ctest = (folder: string): Step => ({
    name: `ctest ${folder}`,
    argv: ['ctest', '--test-dir', folder, '--output-on-failure', '--no-tests=error'],
    count: countNativeTests,
  });
  const build = (argv: readonly string[]): Step => ({
    name: `build ${argv.join(' ')}`,
    argv: ['scripts/build-native.sh', ...argv],
  });
  const sanitizers = isLong ? ['address,undefined', 'thread'] : ['address,undefined'];
  return {
    name: 'native',
    budgetSeconds: 150,
    longBudgetSeconds: 300,
    steps: [
      build(['all']),
      ctest('build/native'),
      ...sanitizers.flatMap((names) => [
        build(['-s', names, 'all']),
        ctest(`build/native-${names.replace(',', '-')}`),
      ]),
      ...(hasTests(checkout, 'native') ? [nodeTests('native/**/*.test.ts', 1)] : []),
    ],
  };
}

function conformanceSuite({ checkout }: SuiteOptions): Suite[] {
  const script = ['run.ts', 'run.sh', 'run']
    .map((name) => `test/conformance/${name}`)
    .find((path) => existsSync(`${checkout}/${path}`));
  if (script === undefined) return [];
  const argv = script.endsWith('.ts') ? [node, script] : [script];
  return [
    {
      name: 'conformance',
      budgetSeconds: 150,
      longBudgetSeconds: 1800,
      steps: [{ name: 'run', argv, count: countGoTests }],
      lacks: lacksGo,
    },
  ];
}

/** All suites, in order. */
export function suitesOf(options: SuiteOptions): readonly Suite[] {
  const inOrder = areaSuites(options);
  const end = inOrder.findIndex(({ name }) => name === 'e2e');
  const [before, after] = end === -1 ? [inOrder, []] : [inOrder.slice(0, end), inOrder.slice(end)];
  return [
    sourcesSuite(options),
    ...before,
    ...(existsSync(`${options.checkout}/native/CMakeLists.txt`) ? [nativeSuite(options)] : []),
    ...conformanceSuite(options),
    ...after,
  ];
}
