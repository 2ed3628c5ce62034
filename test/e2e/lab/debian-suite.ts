// Programs from another suite of Debian than the system's, unpacked into the cache and never
// installed, with an apt of their own: the system's lists and sources are not touched.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cached } from './cache.ts';
import { MissingError, runCommand, tryCommand } from './command.ts';
import { directoryInPath } from './debian-packages.ts';

const downloadLimitMs = 400_000;
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Debian's mirror, as the system's own sources have it. */
async function debianMirror(): Promise<string> {
  if (directoryInPath('apt-get') === undefined || directoryInPath('dpkg') === undefined) {
    throw new MissingError('no apt-get here to fetch Debian’s packages with');
  }
  const which = ['Origin: Debian', 'Label: Debian', 'Identifier: Packages'];
  const argv = ['apt-get', 'indextargets', '--format', '$(SITE)', ...which];
  const ask = async (): Promise<string | undefined> =>
    (await tryCommand(argv)).stdout.toString().split('\n').find(Boolean);
  const known = await ask();
  if (known !== undefined) return known;
  // A machine that never asked for packages has no list of them.
  await tryCommand(['apt-get', '-q', 'update'], { limitMs: downloadLimitMs });
  const found = await ask();
  if (found === undefined) throw new MissingError('apt-get knows no mirror of Debian here');
  return found;
}

/** Asks apt-cache with the lists of one suite alone; gives what it printed. */
export type SuiteApt = (...argv: string[]) => Promise<string>;

/**
 * Unpacks packages of a suite below a directory; which ones may be asked of the suite itself.
 */
export async function unpackFromSuite(
  directory: string,
  suite: string,
  choose: (apt: SuiteApt) => Promise<readonly string[]>,
): Promise<void> {
  const mirror = await debianMirror();
  const apt = join(directory, 'apt');
  const at = (path: string): string => join(apt, path);
  for (const folder of ['lists/partial', 'sources', 'cache/archives/partial', 'packages']) {
    mkdirSync(at(folder), { recursive: true });
  }
  const source = { Types: 'deb', URIs: mirror, Suites: suite, Components: 'main' };
  const lines = Object.entries({ ...source, 'Signed-By': keyring });
  const text = lines.map(([field, value]) => `${field}: ${value}\n`).join('');
  writeFileSync(at('sources/suite.sources'), text);
  const settings = {
    'Dir::Etc::sourcelist': '/dev/null',
    'Dir::Etc::sourceparts': at('sources'),
    'Dir::State::lists': at('lists'),
    'Dir::Cache': at('cache'),
    // apt would rather download as another user, who may not write here.
    'APT::Sandbox::User': 'root',
    'APT::Default-Release': '',
    'Acquire::Retries': '3',
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const run = (program: string, argv: readonly string[]): Promise<string> =>
    runCommand([program, '-q', ...options, ...argv], {
      cwd: at('packages'),
      limitMs: downloadLimitMs,
    });
  await run('apt-get', ['update']);
  const packages = await choose((...argv) => run('apt-cache', argv));
  await run('apt-get', ['download', ...packages]);
  for (const file of readdirSync(at('packages'))) {
    await runCommand(['dpkg', '-x', join(at('packages'), file), directory], {
      limitMs: downloadLimitMs,
    });
  }
  for (const needless of [apt, join(directory, 'usr/share')]) {
    rmSync(needless, { recursive: true, force: true });
  }
}

/** Packages of a suite, all below one directory, under a name of their own in the cache. */
export function suitePackages(
  name: string,
  suite: string,
  packages: readonly string[],
): Promise<string> {
  return cached(join('debian', `${suite}-${name}`), (directory) =>
    unpackFromSuite(directory, suite, async () => packages),
  );
}
