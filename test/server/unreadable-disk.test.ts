// A file of the log of which the disk does not give back a page: the server stays up and says what
// to run, repair saves what lies beside the page, and the server serves again.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { status } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import { varve } from '../cli/varve.ts';
import { TestClient } from './client.ts';
import { configurationIn, scratchDirectory, ServerProcess } from './server-process.ts';

const source = fileURLToPath(new URL('unreadable-pages.c', import.meta.url));
const pageBytes = 4096;
const timeout = 120_000;

/** What makes files unreadable; undefined, and the test skipped, where no compiler is. */
function preload(t: TestContext, scratch: string): string | undefined {
  const library = path.join(scratch, 'unreadable-pages.so');
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source], { stdio: 'pipe' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    t.skip('no C compiler here');
    return undefined;
  }
  return library;
}

interface Unreadable {
  readonly configuration: ReturnType<typeof configurationIn>;
  readonly library: string;
}

/** Prepares snapshots `<from>` to `<to - 1>`. */
async function prepare(address: string, from: number, to: number): Promise<void> {
  const client = new TestClient(address);
  for (let key = from; key < to; key += 1) {
    const { code, details } = await client.call(snapshots.prepare, { key: `${key}` });
    assert.equal(code, status.OK, details);
  }
  client.close();
}

async function killed(server: ServerProcess): Promise<void> {
  server.child.kill('SIGKILL');
  await server.exited;
}

/** The file of the log with this ending that holds most. */
function largest(root: string, ending: string): string {
  const files = readdirSync(path.join(root, 'log'))
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(root, 'log', name));
  const [file] = files.sort((a, b) => statSync(b).size - statSync(a).size);
  assert.ok(file !== undefined, `no ${ending} in the log`);
  return file;
}

describe('a disk that does not give a page back', { timeout }, () => {
  /** Snapshots `0` to `19`: the first ten in a table, the others in the write-ahead log. */
  async function filledRoot(t: TestContext): Promise<Unreadable | undefined> {
    const scratch = await scratchDirectory(t);
    const library = preload(t, scratch);
    if (library === undefined) return undefined;
    const configuration = configurationIn(scratch);
    for (const from of [0, 10]) {
      const server = new ServerProcess(t, configuration);
      await server.serving();
      await prepare(configuration.address, from, from + 10);
      await killed(server);
    }
    return { configuration, library };
  }

  test('in the write-ahead log: stays up, repair saves what lies beside it', async (t) => {
    const filled = await filledRoot(t);
    if (filled === undefined) return;
    const { configuration } = filled;
    const environment = withoutPage(filled, { ending: '.log', page: 1 });
    for (let start = 0; start < 2; start += 1) await staysUp(t, configuration, environment);
    const repaired = await varve(['repair', '--root', configuration.root], { env: environment });
    assert.equal(repaired.code, 0, repaired.stderr);
    const server = new ServerProcess(t, configuration, { environment });
    await server.serving();
    const client = new TestClient(configuration.address);
    t.after(() => client.close());
    const { messages } = await client.all(snapshots.list, {});
    const keptCount = messages.flatMap(({ info }) => info ?? []).length;
    assert.ok(keptCount > 10 && keptCount < 20, `${keptCount} of 20 are kept`);
  });

  test('in a table, which LevelDB maps into memory: ends once, stays up, repair runs', async (t) => {
    const filled = await filledRoot(t);
    if (filled === undefined) return;
    const { configuration } = filled;
    const environment = withoutPage(filled, { ending: '.ldb', page: 0 });
    // The page is a signal that nobody survives; the next start looks at the tables first.
    const first = new ServerProcess(t, configuration, { environment });
    assert.deepEqual(await first.exited, { code: null, signal: 'SIGBUS' });
    for (let start = 0; start < 2; start += 1) await staysUp(t, configuration, environment);
    const repaired = await varve(['repair', '--root', configuration.root], { env: environment });
    assert.equal(repaired.code, 0, repaired.stderr);
  });
});

/** A server that says what to run, and does not end. */
async function staysUp(
  t: TestContext,
  configuration: Unreadable['configuration'],
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const server = new ServerProcess(t, configuration, { environment });
  await server.says(/^(not serving: .*damaged.*run varve repair|serving$)/);
  assert.notEqual(server.lines.at(-1)?.msg, 'serving');
  const client = new TestClient(configuration.address);
  const { code, details } = await client.call(snapshots.stat, { key: '0' });
  client.close();
  assert.equal(status[code], 'UNAVAILABLE');
  assert.match(details, /run varve repair/);
  await killed(server);
}

/** The environment in which a page of the log's largest file of a kind cannot be read. */
function withoutPage(
  { configuration, library }: Unreadable,
  { ending, page }: { readonly ending: string; readonly page: number },
): Readonly<Record<string, string>> {
  const { ino, size } = statSync(largest(configuration.root, ending));
  const from = page * pageBytes;
  assert.ok(size > from, `${size} bytes`);
  const unreadable = `${ino}:${from}:${from + pageBytes - 1}`;
  return { LD_PRELOAD: library, VARVE_TEST_UNREADABLE: unreadable };
}
