// The structure of the sources, checked by reading them: who may import whom, which words are
// banned where, sizes, and what must never be in a tracked file. A finding is `file:line: message`.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const checkout = fileURLToPath(new URL('..', import.meta.url));

interface SourceFile {
  readonly path: string;
  readonly lines: readonly string[];
}

interface Import {
  readonly from: string;
  readonly line: number;
  /** A path inside the checkout, or the name of a package. */
  readonly target: string;
  readonly isPackage: boolean;
  readonly isTypeOnly: boolean;
}

function readSources(): readonly SourceFile[] {
  const listing = execFileSync('git', ['ls-files', '-z', '-c', '-o', '--exclude-standard'], {
    cwd: checkout,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  return listing
    .split('\0')
    .filter((path) => path !== '' && isText(path))
    .map((path) => ({ path, lines: readFileSync(checkout + path, 'utf8').split('\n') }));
}

/** Small files that are there and hold text; recordings and archives are left alone. */
function isText(path: string): boolean {
  const isRecorded = /^test\/(histories|traces|fixtures)\//.test(path) && !path.endsWith('.ts');
  if (isRecorded || /\.(gz|bin|tar|snap|png)$|package-lock\.json$/.test(path)) return false;
  const stat = statSync(checkout + path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size < 4 << 20;
}

const importPattern =
  /(?:^|\n)\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/g;

/** The imports of one file, dynamic ones included. */
function importsOf(file: SourceFile): readonly Import[] {
  const text = file.lines.join('\n');
  return [...text.matchAll(importPattern)].map((match) => {
    const specifier = match[2] ?? match[3] ?? '';
    const isPackage = !specifier.startsWith('.');
    // `import('…')` used as a type reads `import('…').Name` after a colon or `typeof`.
    const before = text.slice(Math.max(0, match.index - 8), match.index);
    const isTypePosition = match[3] !== undefined && /(typeof|:|<|as)\s*$/.test(before);
    return {
      from: file.path,
      line: text.slice(0, match.index + 1).split('\n').length,
      target: isPackage ? specifier : posix.join(posix.dirname(file.path), specifier),
      isPackage,
      isTypeOnly: match[1] !== undefined || isTypePosition,
    };
  });
}

const compositionRoot = 'src/server/compose.ts';
const isIn = (path: string, ...folders: readonly string[]): boolean =>
  folders.some((folder) => path === folder || path.startsWith(`${folder}/`));

/**
 * Adapters that others may build upon: calls into the kernel, processes that may block, and what
 * all transports of block devices have in common.
 */
const baseAdapters = [
  'src/adapters/native',
  'src/adapters/helper-pool',
  'src/adapters/block-devices',
  'src/adapters/system/directories.ts',
];

/** Files outside the composition root that may name an adapter, with the reason. */
const adapterUsers: readonly { readonly from: RegExp; readonly to: string }[] = [
  // The daemon is down while the log is repaired, so nothing composes the adapter for it.
  { from: /^src\/cli\/commands\/repair/, to: 'src/adapters/level' },
  { from: /^src\/cli\/commands\/repair/, to: 'src/adapters/system/crash-points.ts' },
  // Programs of ours that a command starts itself.
  { from: /^src\/cli\/(commands\/up\.ts$|supervisor\/)/, to: 'src/adapters/native' },
  { from: /^src\/cli\/commands\/up\.ts$/, to: 'src/adapters/system/directories.ts' },
  { from: /^src\/cli\/commands\/convert\.ts$/, to: 'src/adapters/native/location.ts' },
  // varve-bd is a daemon of its own, which `varve bd` asks directly.
  {
    from: /^src\/cli\/(block-devices|render)\/(daemon|block-device)\.ts$/,
    to: 'src/adapters/block-daemon',
  },
];

/** Says why an import inside src/ is not allowed; undefined if it is. */
function refusal(one: Import): string | undefined {
  const { from, target } = one;
  if (!target.startsWith('src/')) {
    if (target.startsWith('build/proto/')) {
      return isIn(from, 'src/server', 'src/cli') ? undefined : 'only server and cli speak gRPC';
    }
    return target === 'package.json' ? undefined : 'a source imports sources only';
  }
  if (isIn(from, 'src/machines')) return refusalInMachines(from, target);
  if (isIn(from, 'src/engine')) {
    return isIn(target, 'src/engine', 'src/machines') ? undefined : 'engine knows only machines';
  }
  if (isIn(from, 'src/history')) {
    const allowed = isIn(target, 'src/history', 'src/machines', 'src/engine/ports.ts');
    return allowed ? undefined : 'history reads machines and ports only';
  }
  if (isIn(from, 'src/convert')) {
    const allowed = isIn(target, 'src/convert', 'src/history/text.ts');
    return allowed ? undefined : 'a conversion needs nothing of the snapshotter';
  }
  if (isIn(target, 'src/convert') && !isIn(from, 'src/cli')) return 'only the cli converts';
  if (isIn(from, 'src/config')) {
    // The values of some keys have rules that the machines know.
    const isAllowed = isIn(target, 'src/config', 'src/machines');
    return isAllowed ? undefined : 'config knows only machines';
  }
  if (isIn(from, 'src/adapters')) return refusalInAdapters(one);
  if (isIn(target, 'src/adapters') && from !== compositionRoot) {
    const isExcepted = adapterUsers.some((user) => user.from.test(from) && isIn(target, user.to));
    return isExcepted ? undefined : `only ${compositionRoot} names concrete adapters`;
  }
  if (isIn(from, 'src/server') && isIn(target, 'src/cli')) return 'server does not know the cli';
  return undefined;
}

function refusalInMachines(from: string, target: string): string | undefined {
  if (!isIn(target, 'src/machines')) return 'machines import machines only';
  if (isIn(from, 'src/machines/kernel') && !isIn(target, 'src/machines/kernel')) {
    return 'the kernel knows no aggregate';
  }
  const [, , fromAggregate] = from.split('/');
  const isForeign = fromAggregate === 'node' ? 'snapshot' : fromAggregate === 'snapshot' && 'node';
  if (isForeign !== false && isIn(target, `src/machines/${isForeign}`)) {
    return 'an aggregate does not import another one';
  }
  return undefined;
}

function refusalInAdapters({ from, target, isTypeOnly }: Import): string | undefined {
  const own = from.split('/').slice(0, 3).join('/');
  if (isIn(target, own) || isIn(target, ...baseAdapters)) return undefined;
  if (target === 'src/engine/ports.ts') return undefined;
  if (isIn(target, 'src/config') && isTypeOnly) return undefined;
  // Checkpoints and events pass through the log as they are; the kernel's functions are pure.
  if (isIn(target, 'src/machines/kernel')) return undefined;
  if (isIn(target, 'src/machines') && isTypeOnly) return undefined;
  return 'an adapter imports ports, types of machines and its own folder only';
}

/**
 * Which files may import which package: the first match decides; packages not named are refused.
 */
const packageRules: readonly { readonly name: RegExp; readonly from: RegExp }[] = [
  { name: /^xstate(\/|$)/, from: /^src\/machines\/(kernel\/statechart|.*\/machine[^/]*)\.ts$/ },
  { name: /^rxjs(\/|$)/, from: /^src\/(engine|server|adapters\/system)\// },
  { name: /^koffi$/, from: /^src\/adapters\/native\// },
  { name: /^(level|classic-level|abstract-level)$/, from: /^src\/adapters\/level\// },
  { name: /^(pino|pino-pretty|uuid)$/, from: /^src\/(adapters\/system|server)\// },
  { name: /^(@grpc\/|grpc-health-check|protobufjs)/, from: /^src\/(server|cli)\// },
  { name: /^commander$/, from: /^src\/cli\// },
  { name: /^re2js$/, from: /^src\/(machines\/catalog|engine|server|adapters)\// },
  { name: /^tar\//, from: /^src\/convert\// },
  { name: /^node:/, from: /^src\/(adapters|server|cli|config|convert)\// },
  // Hashing and byte order need no world; nothing else of Node may come in here.
  { name: /^node:(crypto|util|buffer|assert|async_hooks)$/, from: /^src\/(engine|history)\// },
];

const findings = (list: readonly string[]): void => {
  if (list.length > 0) assert.fail(`${list.length} finding(s)\n${list.join('\n')}`);
};

const sources = readSources();
const typescript = sources.filter(({ path }) => path.endsWith('.ts'));
const product = typescript.filter(({ path }) => path.startsWith('src/'));
const imports = product.flatMap(importsOf);

/** One finding for every line that matches. */
function linesMatching(
  files: readonly SourceFile[],
  pattern: RegExp,
  message: string,
): readonly string[] {
  return files.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) =>
      pattern.test(line) ? [`${path}:${index + 1}: ${message}: ${line.trim().slice(0, 120)}`] : [],
    ),
  );
}

/** The code of a file without comments and quoted text, line for line. */
function codeOnly({ path, lines }: SourceFile): SourceFile {
  const text = lines
    .join('\n')
    .replace(/\/\*[^]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/\/\/.*$/gm, '')
    .replace(/'(?:\\.|[^'\\\n])*'/g, "''");
  return { path, lines: text.split('\n') };
}

test('the check of imports reads every form of import', () => {
  const found = importsOf({
    path: 'src/a/b.ts',
    lines: [
      "import { x } from './x.ts';",
      'import type {',
      '  Y,',
      "} from '../y.ts';",
      "import 'side-effect';",
      "const z = await import('./z.ts');",
      "export { q } from './q.ts';",
    ],
  });
  assert.deepEqual(
    found.map(({ line, target, isTypeOnly }) => [line, target, isTypeOnly]),
    [
      [1, 'src/a/x.ts', false],
      [2, 'src/y.ts', true],
      [5, 'side-effect', false],
      [6, 'src/a/z.ts', false],
      [7, 'src/a/q.ts', false],
    ],
  );
});

test('imports go one way: server and cli, engine, machines; adapters know ports only', () => {
  findings(
    imports
      .filter(({ isPackage }) => !isPackage)
      .flatMap((one) => {
        const reason = refusal(one);
        return reason === undefined ? [] : [`${one.from}:${one.line}: ${one.target}: ${reason}`];
      }),
  );
});

test('the direction of imports is refused where it should be', () => {
  const refused = (from: string, target: string, isTypeOnly = false): boolean =>
    refusal({ from, target, isTypeOnly, line: 1, isPackage: false }) !== undefined;
  assert.ok(refused('src/machines/snapshot/decide.ts', 'src/engine/ports.ts'));
  assert.ok(refused('src/machines/kernel/envelope.ts', 'src/machines/node/events.ts'));
  assert.ok(refused('src/machines/node/evolve.ts', 'src/machines/snapshot/events.ts'));
  assert.ok(refused('src/engine/engine.ts', 'src/adapters/level/event-store.ts'));
  assert.ok(refused('src/engine/engine.ts', 'src/server/compose.ts'));
  assert.ok(refused('src/adapters/level/a.ts', 'src/adapters/system/clock.ts'));
  assert.ok(refused('src/adapters/level/a.ts', 'src/engine/engine.ts'));
  assert.ok(refused('src/adapters/level/a.ts', 'src/machines/snapshot/decide.ts'));
  assert.ok(!refused('src/adapters/level/a.ts', 'src/machines/snapshot/state.ts', true));
  assert.ok(!refused('src/adapters/snapshot-dirs/a.ts', 'src/adapters/helper-pool/pool.ts'));
  assert.ok(refused('src/server/grpc/server.ts', 'src/adapters/level/event-store.ts'));
  assert.ok(!refused(compositionRoot, 'src/adapters/level/event-store.ts'));
  assert.ok(refused('src/server/main.ts', 'src/cli/main.ts'));
});

test('a package is imported only where it belongs', () => {
  findings(
    imports
      .filter(({ isPackage }) => isPackage)
      .filter(({ from, target }) => {
        const rules = packageRules.filter(({ name }) => name.test(target));
        return !rules.some((rule) => rule.from.test(from));
      })
      .map(({ from, line, target }) => `${from}:${line}: ${target} may not be imported here`),
  );
});

test('machines use no clock, no randomness, no input or output, nothing asynchronous', () => {
  const machines = product.filter(({ path }) => path.startsWith('src/machines/')).map(codeOnly);
  const banned =
    /\b(Date|Math\.random|set(Timeout|Interval|Immediate)|process|console|Buffer|async|await|Promise)\b/;
  findings(linesMatching(machines, banned, 'banned in machines'));
});

test('files and lines stay short', () => {
  const long = typescript.flatMap(({ path, lines }) => {
    const max = path.startsWith('src/') ? 400 : 700;
    return lines.length - 1 > max ? [`${path}:${lines.length - 1}: more than ${max} lines`] : [];
  });
  // The formatter keeps code within 100 columns, but for literals, which it cannot break.
  const widthMax = (line: string): number => (/^\s*(\/\/|\/?\*)/.test(line) ? 100 : 120);
  const wide = typescript.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) =>
      Array.from(line).length > widthMax(line)
        ? [`${path}:${index + 1}: more than ${widthMax(line)} columns`]
        : [],
    ),
  );
  findings([...long, ...wide]);
});

test('a product file begins with a comment that says what it is', () => {
  findings(
    product
      .filter(({ lines }) => !/^(#!|\/\/|\/\*)/.test(lines[0] ?? ''))
      .map(({ path }) => `${path}:1: no comment that says what this file is`),
  );
});

test('file names are kebab-case', () => {
  findings(
    typescript
      .filter(({ path }) => !/^[a-z0-9-]+(\.test)?\.ts$/.test(posix.basename(path)))
      .map(({ path }) => `${path}:1: not kebab-case`),
  );
});

test('no tracked file names this machine, a registry, or unfinished work', () => {
  // In pieces, so that this file does not find itself.
  const registries = ['registry\\.npmjs', 'registry\\.yarnpkg', 'deb\\.debian', 'proxy\\.golang'];
  const folders = ['work', 'home/[a-z]+'].join('|');
  const marks = ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|');
  const text = sources.filter(({ path }) => !/^(LICENSE|\.npmrc|native\/third_party\/)/.test(path));
  findings([
    ...linesMatching(text, new RegExp(`(${registries.join('|')})\\.org`), 'a registry host'),
    ...linesMatching(text, new RegExp(`(^|["'\`\\s=(])/(${folders})/`), 'a path'),
    ...linesMatching(text, new RegExp(`\\b(${marks})\\b`), 'unfinished'),
  ]);
});

test('every relative link in a document leads somewhere', () => {
  const paths = new Set(sources.map(({ path }) => path));
  const documents = sources.filter(({ path }) => path.endsWith('.md'));
  const exists = (path: string): boolean =>
    paths.has(path) || [...paths].some((known) => known.startsWith(`${path.replace(/\/$/, '')}/`));
  findings(
    documents.flatMap(({ path, lines }) =>
      lines.flatMap((line, index) =>
        [...line.matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)]
          .map((match) => match[1] ?? '')
          .filter((link) => !/^[a-z]+:/.test(link))
          .filter((link) => !exists(posix.join(posix.dirname(path), link)))
          .map((link) => `${path}:${index + 1}: leads nowhere: ${link}`),
      ),
    ),
  );
});

test('the event reference is what the declarations of the events say', () => {
  const generator = `${checkout}scripts/generate-event-docs.ts`;
  const printed = execFileSync(process.execPath, [generator, '--print'], { encoding: 'utf8' });
  const kept = readFileSync(`${checkout}docs/events.md`, 'utf8');
  assert.ok(printed === kept, 'docs/events.md:1: stale: run `make docs`');
});
