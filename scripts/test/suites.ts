// The suites of `make test`, in the order in which they run: quick ones that point at the cause
// first. Each has a budget; one that takes four times as long is ended and has failed.
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
  /** What first-time downloads and builds may take besides. */
  readonly firstTimeSeconds?: number;
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

/** Reads the line per kind of run that test/conformance/run.ts prints, or why it did nothing. */
function countConformance(output: string): Counts | undefined {
  const skip = /^conformance: skipped: (.*)$/m.exec(output);
  if (skip !== null) return { passed: 0, failed: 0, skipped: 1, skips: [skip[1] ?? ''] };
  const runs = [...output.matchAll(/^conformance \(kill \w+\): (\d+) of (\d+) passed/gm)];
  if (runs.length === 0) return undefined;
  const passed = runs.reduce((count, match) => count + Number(match[1]), 0);
  const all = runs.reduce((count, match) => count + Number(match[2]), 0);
  return { passed, failed: all - passed, skipped: 0, skips: [] };
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

/** Areas with a budget of their own: seconds in the short and in the long form. */
const areas: readonly {
  readonly name: string;
  readonly budget: readonly [number, number];
  readonly folders: readonly string[];
  readonly concurrency?: number;
  readonly firstTimeSeconds?: number;
}[] = [
  { name: 'machines', budget: [20, 60], folders: ['kernel', 'unit', 'machines', 'catalog'] },
  { name: 'property', budget: [30, 600], folders: ['property'] },
  { name: 'mutants', budget: [60, 600], folders: ['mutants'] },
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
  { name: 'e2e', budget: [120, 900], folders: ['e2e'], concurrency: 1, firstTimeSeconds: 600 },
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
    .map(({ name }) => ({
      name,
      budget: [60, 300] as const,
      folders: [name],
      concurrency: 1,
      firstTimeSeconds: 0,
    }));
  return [...areas.slice(0, -1), ...others, ...areas.slice(-1)].flatMap((area) => {
    const folders = area.folders.filter((folder) => hasTests(checkout, folder));
    if (folders.length === 0) return [];
    const [budgetSeconds, longBudgetSeconds] = area.budget;
    const steps = folders.map((folder) => nodeTests(`${folder}/**/*.test.ts`, area.concurrency));
    const { name, firstTimeSeconds = 0 } = area;
    return [{ name, budgetSeconds, longBudgetSeconds, firstTimeSeconds, steps }];
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
  const script = 'test/conformance/run.ts';
  if (!existsSync(`${checkout}/${script}`)) return [];
  return [
    {
      name: 'conformance',
      budgetSeconds: 180,
      longBudgetSeconds: 1800,
      firstTimeSeconds: 600,
      steps: [{ name: 'run', argv: [node, script], count: countConformance }],
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
