// `varve serve` as a real process, killed as by kill -9 at every crash point that the sources name:
// everything that was answered is there afterwards, the log is whole, and nothing is left over.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as rest } from 'node:timers/promises';
import { foldHistory } from '../../src/history/fold.ts';
import { readHistory } from '../../src/history/export-reader.ts';
import {
  inspectDefinition as inspect,
  snapshotsDefinition as snapshots,
} from '../../src/server/grpc/definitions.ts';
import { TestClient } from '../server/client.ts';
import { configurationIn, scratchDirectory, ServerProcess } from '../server/server-process.ts';
import { Ledger, type Clients } from './ledger.ts';
import { namedCrashPoints } from './points.ts';

/** At which passages of each point the server is killed; the work passes each more than once. */
const passagesOf: Readonly<Record<string, readonly number[]>> = {
  'open:linked': [1],
  'open:opened': [1],
  'open:verified': [1],
  // The first append is that of the start, before anything is served.
  'append:before': [1, 4],
  'append:synced': [1, 4],
  'append:tip': [1, 4],
  'effect:createDirectory:before': [1],
  'effect:createDirectory:after': [1],
  'effect:sealLayer:before': [1],
  'effect:sealLayer:after': [1],
  'effect:deleteDirectory:before': [1],
  'effect:deleteDirectory:after': [1],
  'checkpoint:before': [1],
  'checkpoint:stored': [1],
  'checkpoint:exported': [1],
  'compact:before': [1],
  'compact:checkpoint': [1],
  'compact:horizon': [1],
  // Of one compaction, and of the next one after it.
  'compact:step': [1, 2],
  'compact:deleted': [1],
  'compact:after': [1],
};

/** Rounds of work that are enough to pass each point. */
const roundCountMax = 4;

const configurationOf = (scratch: string) => ({
  ...configurationIn(scratch),
  checkpointEveryEventCount: 5,
});

/** So many starts share what the first one compiled. */
const cached = (scratch: string) => ({ NODE_COMPILE_CACHE: path.join(scratch, 'compile-cache') });

/** Clients of a server, closed at the end of the test. */
function clientsOf(t: TestContext, { address, adminAddress }: ReturnType<typeof configurationIn>) {
  const clients = { snapshots: new TestClient(address), admin: new TestClient(adminAddress) };
  t.after(() => {
    clients.snapshots.close();
    clients.admin.close();
  });
  return clients;
}

/** Works until the server is gone. */
async function workUntilGone(server: ServerProcess, ledger: Ledger, clients: Clients) {
  let isServing = false;
  await Promise.race([server.exited, server.serving().then(() => (isServing = true))]);
  for (let round = 1; isServing && round <= roundCountMax; round += 1) {
    if (!(await ledger.work(clients, `crash-${round}`))) return;
  }
  assert.ok(!isServing, 'the point is not passed');
}

interface VerifyAnswer {
  readonly equal: boolean;
}

async function assertHistoryHolds({ admin }: Clients): Promise<void> {
  const { code, details, messages } = await admin.all(inspect.verify, {});
  assert.equal(code, 0, details);
  const answer = JSON.parse(messages.at(-1)?.resultJson ?? '{}') as VerifyAnswer;
  assert.equal(answer.equal, true, JSON.stringify(answer));
  const history = await admin.text(inspect.export, {});
  const entries = readHistory([Buffer.from(history)]);
  const { isAsRecorded } = await foldHistory(entries, { positions: ['end'] });
  assert.equal(isAsRecorded, true, 'the exported history folds to the state of the node');
}

interface StateAnswer {
  readonly snapshots: readonly { readonly id: number }[];
}

/** A directory for each snapshot and a snapshot for each directory, once all work is done. */
async function assertDirectoriesMatch(root: string, clients: Clients): Promise<void> {
  const directory = path.join(root, 'snapshots');
  let found: readonly string[] = [];
  let recorded: readonly string[] = [];
  for (let look = 0; look < 100; look += 1) {
    await clients.snapshots.call(snapshots.cleanup, {});
    const state = JSON.parse(await clients.admin.text(inspect.state, {})) as StateAnswer;
    recorded = state.snapshots.map(({ id }) => String(id)).sort();
    found = readdirSync(directory).sort();
    if (found.join() === recorded.join()) return;
    // Directories that nothing explains are deleted beside the service.
    await rest(50);
  }
  assert.deepEqual(found, recorded);
}

describe('a server that is killed', { concurrency: 2, timeout: 240_000 }, () => {
  let seed = '';
  const known = new Ledger();
  const cleanups: (() => unknown)[] = [];

  // A root with a history, checkpoints and a horizon, whose server was killed at rest.
  before(async () => {
    const t = { after: (work: () => unknown) => cleanups.push(work) } as unknown as TestContext;
    seed = await scratchDirectory(t);
    const configuration = configurationOf(seed);
    const server = new ServerProcess(t, configuration, { environment: cached(seed) });
    await server.serving();
    const clients = clientsOf(t, configuration);
    for (const round of ['seed-1', 'seed-2']) assert.ok(await known.work(clients, round));
    server.child.kill('SIGKILL');
    await server.exited;
  });

  after(async () => {
    for (const work of cleanups.reverse()) await work();
  });

  test('has a case for every point that the sources name', () => {
    // Those of block layers have cases of their own, with real devices; those of the kernel's
    // target in the virtual machine.
    const others = /^repair:|^target:|BlockLayer:/;
    const served = namedCrashPoints().filter((name) => !others.test(name));
    assert.deepEqual(Object.keys(passagesOf).sort(), served);
  });

  const cases = Object.entries(passagesOf).flatMap(([point, passages]) =>
    passages.map((passage) => `${point}:${passage}`),
  );
  for (const at of cases) {
    test(`at ${at} keeps all that it answered, and leaves nothing over`, async (t) => {
      const scratch = await scratchDirectory(t);
      const configuration = configurationOf(scratch);
      const { root } = configuration;
      cpSync(path.join(seed, 'root'), root, { recursive: true });
      const ledger = known.copy();
      const clients = clientsOf(t, configuration);

      const environment = { VARVE_CRASH_AT: at, ...cached(seed) };
      const killed = new ServerProcess(t, configuration, { environment });
      await workUntilGone(killed, ledger, clients);
      assert.deepEqual(await killed.exited, { code: null, signal: 'SIGKILL' });

      const server = new ServerProcess(t, configuration, { environment: cached(seed) });
      await server.serving();
      // A client that was refused by the dead one waits for a while before it tries again.
      await Promise.all([clients.snapshots.connected(), clients.admin.connected()]);
      await ledger.check(clients.snapshots);
      await assertHistoryHolds(clients);
      await assertDirectoriesMatch(root, clients);
      assert.ok(await ledger.work(clients, 'after'), 'it goes on');
      server.child.kill('SIGTERM');
      assert.deepEqual(await server.exited, { code: 0, signal: null });
      const complaints = server.lines.filter(({ level }) => ['error', 'fatal'].includes(level));
      assert.deepEqual(complaints, []);
      const quarantine = path.join(root, 'quarantine');
      assert.deepEqual(existsSync(quarantine) ? readdirSync(quarantine) : [], []);
    });
  }
});
