// Commands built from a Go module as its authors published it, with their own list of modules and
// sums. Go's copy of the module stays as it is; what has to be different is different in a copy.
import { cpSync, globSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { MissingError, runCommand, tryCommand } from './command.ts';
import { directoryInPath, unpackedPackage } from './debian-packages.ts';

export interface GoModule {
  readonly module: string;
  readonly version: string;
  readonly packages: readonly string[];
  /** Packages whose tests, compiled, are the program. */
  readonly testPackages?: readonly string[];
  /** Below the module; it is set to the version. */
  readonly versionVariable?: string;
  /** Debian's package of the C library that it is built with. */
  readonly library?: string;
  readonly tags?: string;
  /** Its `go.mod` is named `vendor.mod`: it is not published as a module. */
  readonly hasVendorFile?: boolean;
  /** A requirement that cannot be had, and the files that want it. */
  readonly without?: { readonly requirement: string; readonly files: string };
  /** The path below which modules are replaced by folders that it does not bring. */
  readonly stagedModules?: string;
}

const buildLimitMs = 1_400_000;
const goVersionNeeded = [1, 26, 6] as const;
const environment = {
  PATH: [process.env['PATH'] ?? '', '/usr/local/go/bin'].join(delimiter),
  GOFLAGS: '',
  GOWORK: 'off',
};

async function requireGo(): Promise<void> {
  const argv = ['go', 'env', 'GOVERSION'];
  const found = await tryCommand(argv, { env: environment }).catch(() => undefined);
  if (found?.status !== 0) throw new MissingError('no go in PATH');
  const version = found.stdout.toString().trim().replace(/^go/, '');
  const parts = version.split('.').map((part) => Number.parseInt(part, 10));
  for (const [index, needed] of goVersionNeeded.entries()) {
    const part = parts[index] ?? 0;
    if (part > needed) break;
    if (part < needed) {
      throw new MissingError(`go ${version} is older than ${goVersionNeeded.join('.')}`);
    }
  }
}

/** Where Go keeps the module's files. */
async function downloaded({ module, version }: GoModule, work: string): Promise<string> {
  const argv = ['go', 'mod', 'download', '-json', `${module}@${version}`];
  const options = { env: environment, cwd: work, limitMs: buildLimitMs };
  const { status, stdout } = await tryCommand(argv, options);
  if (status !== 0) {
    throw new MissingError(`the Go module proxy does not serve ${module} ${version}`);
  }
  return (JSON.parse(stdout.toString()) as { readonly Dir: string }).Dir;
}

async function sourceOf(module: GoModule, work: string): Promise<string> {
  const source = await downloaded(module, work);
  const { hasVendorFile = false, without } = module;
  if (!hasVendorFile && without === undefined) return source;
  const copy = join(work, 'source');
  cpSync(source, copy, { recursive: true });
  await runCommand(['chmod', '-R', 'u+w', copy]);
  if (hasVendorFile) {
    for (const kind of ['mod', 'sum']) {
      renameSync(join(copy, `vendor.${kind}`), join(copy, `go.${kind}`));
    }
  }
  for (const file of without === undefined ? [] : globSync(join(copy, without.files))) rmSync(file);
  return copy;
}

/** The module's list of requirements as text, where Go may complete it. */
function requirementsOf(module: GoModule, source: string): string {
  const { without, stagedModules, version } = module;
  const lines = readFileSync(join(source, 'go.mod'), 'utf8')
    .split('\n')
    .filter((line) => without === undefined || !line.includes(without.requirement));
  if (stagedModules === undefined) return lines.join('\n');
  // Each is published as a module of its own, at the version that goes with this one.
  const release = version.replace(/^v1\./, 'v0.');
  return lines
    .map((line) => {
      const [left = '', right = ''] = line.split(' => ');
      const name = left.replace('replace', '').trim();
      const isStaged = right.startsWith('./') && name.startsWith(stagedModules);
      return isStaged ? `${left} => ${name} ${release}` : line;
    })
    .join('\n');
}

/** What lets the C parts of a module be built with a library that is not installed. */
async function compilerEnvironment({ library }: GoModule): Promise<Record<string, string>> {
  if (library === undefined) return { CGO_ENABLED: '0' };
  for (const program of ['cc', 'pkg-config']) {
    if (directoryInPath(program) === undefined) throw new MissingError(`no ${program} in PATH`);
  }
  const root = await unpackedPackage(library);
  const libraries = globSync(join(root, 'usr/lib/*/pkgconfig'));
  return {
    CGO_ENABLED: '1',
    PKG_CONFIG_SYSROOT_DIR: root,
    PKG_CONFIG_LIBDIR: libraries.join(delimiter),
  };
}

/** Builds the commands of a module into a directory. */
export async function buildGoModule(module: GoModule, directory: string): Promise<void> {
  await requireGo();
  const work = join(directory, 'work');
  await runCommand(['mkdir', work]);
  const source = await sourceOf(module, work);
  const requirements = join(work, 'go.mod');
  writeFileSync(requirements, requirementsOf(module, source));
  writeFileSync(join(work, 'go.sum'), readFileSync(join(source, 'go.sum')));
  const compiler = await compilerEnvironment(module);
  const { packages, testPackages = [], versionVariable, version, tags = '' } = module;
  const linking =
    versionVariable === undefined
      ? '-s -w'
      : `-s -w -X ${module.module}/${versionVariable}=${version.replace('+incompatible', '')}`;
  const build = async (verb: readonly string[], path: string): Promise<void> => {
    const name = path === '.' ? basename(module.module) : basename(path);
    const options = ['-modfile', requirements, '-mod=mod', '-trimpath', '-buildvcs=false'];
    const output = ['-tags', tags, '-ldflags', linking, '-o', join(directory, name)];
    await runCommand(['go', ...verb, ...options, ...output, `./${path}`], {
      env: { ...environment, ...compiler },
      cwd: source,
      limitMs: buildLimitMs,
    });
  };
  for (const path of packages) await build(['build'], path);
  for (const path of testPackages) await build(['test', '-c'], path);
  await runCommand(['rm', '-rf', work]);
}
