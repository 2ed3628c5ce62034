// The suites of `make test`, in the order in which they run: quick ones that point at the cause
// first. Each has a budget, which holds on a quiet machine with 2 cores; one that takes four times
// as long is ended and has failed. Preparations (downloads and builds, which are kept) are aside.
import { existsSync, readdirSync } from 'node:fs';
import { countConformance, countNativeTests, countNodeTests, type Counts } from './counts.ts';

export interface Step {
  readonly name: string;
  readonly argv: readonly string[];
  /** Variables besides those of the suite. */
  readonly env?: Readonly<Record<string, string>>;
  /** Reads the counts from the output; without it the step itself is one check. */
  readonly count?: (output: string) => Counts | undefined;
  /** Downloads or builds what the next steps need, without being a check. */
  readonly isPreparation?: true;
}

export interface Suite {
  readonly name: string;
  /** Variables for every step. */
  readonly env?: Readonly<Record<string, string>>;
  readonly budgetSeconds: number;
  readonly longBudgetSeconds: number;
  readonly steps: readonly Step[];
}

/** How long all suites in their short form may take together. */
export const shortBudgetSeconds = 1910;

/** How long one preparation may take. */
export const preparationSeconds = 1_500;

export interface SuiteOptions {
  readonly checkout: string;
  readonly isLong: boolean;
}

const node = process.execPath;
const nodeModules = (script: string): string => `node_modules/${script}`;

/** A step that is no check itself. */
const prepare = (argv: readonly string[]): Step => ({
  name: argv.join(' '),
  argv,
  isPreparation: true,
});

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

/** Gets the containerds and what they need, and keeps it. */
const labPrograms = [node, 'test/e2e/lab/prepare.ts'];

/** Areas with a budget of their own: seconds in the short and in the long form. */
const areas: readonly {
  readonly name: string;
  readonly budget: readonly [number, number];
  readonly folders: readonly string[];
  /** Besides them in the long form. */
  readonly longFolders?: readonly string[];
  readonly concurrency?: number;
  readonly preparation?: readonly string[];
}[] = [
  { name: 'machines', budget: [4, 60], folders: ['kernel', 'unit', 'machines', 'catalog'] },
  { name: 'property', budget: [10, 600], folders: ['property'] },
  { name: 'mutants', budget: [25, 600], folders: ['mutants'] },
  { name: 'configuration', budget: [3, 20], folders: ['config'] },
  { name: 'history', budget: [4, 60], folders: ['history'] },
  { name: 'engine', budget: [5, 300], folders: ['engine'] },
  { name: 'store', budget: [40, 900], folders: ['store', 'level', 'adapters'] },
  { name: 'server', budget: [50, 300], folders: ['server', 'grpc'] },
  { name: 'crash', budget: [65, 600], folders: ['crash'] },
  { name: 'faults', budget: [50, 100], folders: ['faults'] },
  { name: 'leases', budget: [20, 600], folders: ['leases'] },
  { name: 'cli', budget: [50, 180], folders: ['cli'] },
  { name: 'convert', budget: [25, 60], folders: ['convert'] },
  { name: 'up', budget: [25, 60], folders: ['up'], concurrency: 1 },
  { name: 'histories', budget: [4, 60], folders: ['histories'] },
  { name: 'traces', budget: [30, 120], folders: ['traces'] },
  { name: 'demo', budget: [20, 60], folders: ['demo'], concurrency: 1, preparation: labPrograms },
  { name: 'e2e', budget: [80, 400], folders: ['e2e'], concurrency: 1, preparation: labPrograms },
  {
    name: 'clients',
    budget: [40, 1200],
    folders: ['clients'],
    longFolders: ['more-clients'],
    concurrency: 1,
    preparation: labPrograms,
  },
];

/** Folders whose tests other suites run. */
const foldersOfOthers = ['native', 'conformance', 'vm'];

const hasTests = (checkout: string, folder: string): boolean =>
  existsSync(`${checkout}/test/${folder}`) &&
  readdirSync(`${checkout}/test/${folder}`, { recursive: true }).some((name) =>
    String(name).endsWith('.test.ts'),
  );

function areaSuites({ checkout, isLong }: SuiteOptions): Suite[] {
  const inAreas = areas.flatMap(({ folders, longFolders = [] }) => [...folders, ...longFolders]);
  const known = new Set([...inAreas, ...foldersOfOthers]);
  const others = readdirSync(`${checkout}/test`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !known.has(entry.name))
    .map(({ name }) => ({
      name,
      budget: [20, 300] as const,
      folders: [name],
      longFolders: undefined,
      concurrency: 1,
      preparation: undefined,
    }));
  return [...areas.slice(0, -2), ...others, ...areas.slice(-2)].flatMap((area) => {
    const wanted = [...area.folders, ...(isLong ? (area.longFolders ?? []) : [])];
    const folders = wanted.filter((folder) => hasTests(checkout, folder));
    if (folders.length === 0) return [];
    const [budgetSeconds, longBudgetSeconds] = area.budget;
    const { name, concurrency, preparation } = area;
    const steps = [
      ...(preparation === undefined ? [] : [prepare(preparation)]),
      ...folders.map((folder) => nodeTests(`${folder}/**/*.test.ts`, concurrency)),
    ];
    return [{ name, budgetSeconds, longBudgetSeconds, steps }];
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
    budgetSeconds: 45,
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
  const ctest = (folder: string, options: readonly string[] = []): Step => ({
    name: `ctest ${folder}`,
    argv: ['scripts/ctest.sh', folder, ...options],
    count: countNativeTests,
  });
  const build = (argv: readonly string[]): Step =>
    prepare(['scripts/build-native.sh', ...argv, 'all']);
  // The programs around what ctest covers, too: they read lines and options, hold descriptors,
  // handle signals.
  const programTests = (folder: string): Step => {
    const step = nodeTests('native/{helper-pool,varve-layer*}.test.ts', 1);
    return {
      ...step,
      name: `${step.name} ${folder}`,
      env: { VARVE_NATIVE_DIR: `${checkout}/${folder}` },
    };
  };
  // Their Node cannot load a sanitizer's library, so they take the daemon alone from such a build.
  const daemonTests = (folder: string): Step => {
    const step = nodeTests(`native/${isLong ? 'varve-bd*' : 'varve-bd{,-end,-damage}'}.test.ts`, 1);
    return {
      ...step,
      name: `${step.name} ${folder}`,
      env: { VARVE_BD_PROGRAM: `${checkout}/${folder}/varve-bd` },
    };
  };
  // What takes minutes under ThreadSanitizer and has one thread only.
  const oneThread =
    'RandomOperations|LargeDisk|GoldenImage/|NoFlippedBit|WithoutSums|DamageTest|RandomTest|Fuzz';
  const sanitizers = isLong ? ['address,undefined', 'thread'] : ['address,undefined'];
  return {
    name: 'native',
    budgetSeconds: 390,
    longBudgetSeconds: 5_400,
    steps: [
      build([]),
      ctest('build/native'),
      ...sanitizers.flatMap((names) => {
        const folder = `build/native-${names.replace(',', '-')}`;
        const options = names === 'thread' ? ['--exclude-regex', oneThread] : [];
        return [
          build(['-s', names]),
          ctest(folder, options),
          programTests(folder),
          daemonTests(folder),
        ];
      }),
      ...(hasTests(checkout, 'native') ? [nodeTests('native/**/*.test.ts', 1)] : []),
    ],
  };
}

/** What needs a kernel of its own: the virtual machine, then one of each kernel for its tests. */
function vmSuite({ isLong }: SuiteOptions): Suite {
  const budgets = { budgetSeconds: 680, longBudgetSeconds: 7_200 };
  const limitSeconds = 4 * (isLong ? budgets.longBudgetSeconds : budgets.budgetSeconds);
  const inMachine = (kernel: string, ...patterns: readonly string[]): Step => ({
    name: `${patterns.join(' ')} with ${kernel}`,
    argv: [node, 'test/vm/run-tests.ts', kernel, String(limitSeconds), ...patterns],
    count: countNodeTests,
  });
  const conformance = (kernel: string, transport: string): Step => ({
    name: `containerd’s suite over ${transport} with ${kernel}`,
    argv: [node, 'test/vm/run-conformance.ts', kernel, transport, String(limitSeconds)],
    count: countConformance,
  });
  return {
    name: 'vm',
    ...budgets,
    steps: [
      prepare([node, 'test/vm/prepare.ts']),
      prepare(labPrograms),
      nodeTests('vm/*.test.ts', 1),
      inMachine(
        '6.1',
        'test/vm/{devices,tcmu,target,containers}/*.test.ts',
        'test/vm/file-systems/quota.test.ts',
      ),
      inMachine(
        '6.12',
        'test/vm/{devices,ublk,containers}/*.test.ts',
        'test/vm/file-systems/made.test.ts',
      ),
      ...(isLong
        ? [
            nodeTests('vm/memory/*.test.ts', 1),
            ...[conformance('6.1', 'fuse'), conformance('6.1', 'tcmu')],
            conformance('6.12', 'ublk'),
          ]
        : []),
    ],
  };
}

function conformanceSuite({ checkout, isLong }: SuiteOptions): Suite[] {
  const script = 'test/conformance/run.ts';
  if (!existsSync(`${checkout}/${script}`)) return [];
  // That the harness notices faults is proven where there is time for it.
  const proof = { name: 'faults', argv: [node, script, '--prove'], count: countConformance };
  return [
    {
      name: 'conformance',
      budgetSeconds: 220,
      longBudgetSeconds: 3600,
      steps: [
        prepare([node, script, '--prepare']),
        { name: 'run', argv: [node, script], count: countConformance },
        ...(isLong ? [proof] : []),
      ],
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
    vmSuite(options),
    ...conformanceSuite(options),
    ...after,
  ];
}
