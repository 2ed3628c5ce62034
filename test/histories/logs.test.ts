// Every log that a release wrote must be opened, checked and folded by this version, to the very
// state that the node had, and go on. The files are never recorded again; a copy is opened.
import assert from 'node:assert/strict';
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readExport } from '../../src/adapters/level/export-file.ts';
import { logPaths } from '../../src/adapters/level/log-paths.ts';
import { openLog } from '../../src/adapters/level/open-log.ts';
import { foldLog } from '../../src/engine/boot.ts';
import { shapesOf, type Checkpoint } from '../../src/machines/checkpoint.ts';
import { verify } from '../../src/server/history-reader.ts';
import { RecordedNode } from './record.ts';
import { sessions } from './sessions.ts';
import type { EventStore } from '../../src/engine/ports.ts';

const directory = fileURLToPath(new URL('.', import.meta.url));
const logs = globSync('v*/logs/*', { cwd: directory }).sort();

const sizeMaxBytes = 300_000;

function copyOf(t: TestContext, name: string): string {
  const scratch = mkdtempSync(join(tmpdir(), 'varve-log-'));
  t.after(() => rmSync(scratch, { recursive: true, force: true }));
  const root = join(scratch, 'root');
  cpSync(directory + name, root, { recursive: true });
  return root;
}

async function opened(root: string): Promise<EventStore> {
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const log = await openLog({
    ...{ root, logger: silent, crashPoint: () => undefined, reserveSizeBytes: 1 << 16 },
    clock: { nowUs: () => 0, after: () => () => undefined },
  });
  assert.ok(log.status === 'open', JSON.stringify(log));
  assert.deepEqual([...log.opened.damage, ...log.historyDamage], []);
  return log.opened.store;
}

/** The state in the shape in which it was recorded. */
function assertIsState(found: Checkpoint, expected: Checkpoint): void {
  const shapes = shapesOf(found);
  const ofThen = shapes.find((shape) => shape.checkpointVersion === expected.checkpointVersion);
  assert.deepEqual(ofThen, expected);
}

for (const name of logs) {
  const expected = JSON.parse(
    readFileSync(join(directory, name, 'state.json'), 'utf8'),
  ) as Checkpoint;

  test(`${name} is whole, and folds to the state that the node had`, async (t) => {
    const root = copyOf(t, name);
    const store = await opened(root);
    t.after(() => store.close());
    const folded = (await foldLog(store)).toCheckpoint();
    assertIsState(folded, expected);
    // Once more from where the log begins, without the newest checkpoint.
    const { equal, damage, firstSeq } = await verify(store, {
      live: folded,
      progress: async () => undefined,
      signal: new AbortController().signal,
    });
    assert.deepEqual([equal, damage, firstSeq], [true, [], store.foldableFromSeq]);
    for await (const found of store.scrub(new AbortController().signal)) {
      assert.fail(JSON.stringify(found));
    }
    const exported = await readExport(logPaths(root).export);
    assert.deepEqual(exported?.checkpoint, await store.readCheckpoint());
  });

  test(`${name} goes on`, async (t) => {
    const root = copyOf(t, name);
    const [session] = sessions;
    assert.ok(session !== undefined);
    const node = new RecordedNode(root, session);
    await node.start();
    const call = { cause: { kind: 'rpc' }, deadlineMs: 60_000 } as const;
    const prepared = await node.engine.prepare({ key: 'new', parent: '', labels: {} }, call);
    assert.ok(prepared.ok, JSON.stringify(prepared));
    await node.engine.stop('SIGTERM', 5_000);
    const store = await opened(root);
    t.after(() => store.close());
    const keys = (await foldLog(store)).toCheckpoint().snapshots.map(({ context }) => context.key);
    assert.ok(keys.includes('new'));
    const known = expected.snapshots.filter(({ value }) => value.lifecycle === 'committed');
    for (const { context } of known) assert.ok(keys.includes(context.key), context.key);
  });
}

test('the recorded logs are small, and hold a horizon, checkpoints and a repair', () => {
  const files = logs.flatMap((name) =>
    globSync('**/*', { cwd: directory + name }).map((file) => join(directory, name, file)),
  );
  const sizeBytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
  assert.ok(sizeBytes < sizeMaxBytes, `${sizeBytes} bytes`);
  const states = logs.map((name) => readFileSync(join(directory, name, 'state.json'), 'utf8'));
  const nodes = states.map((state) => (JSON.parse(state) as Checkpoint).node);
  assert.ok(nodes.some(({ horizonSeq }) => horizonSeq > 0));
  assert.ok(nodes.some(({ orphansKeptUpTo }) => orphansKeptUpTo > 0));
  assert.ok(
    files.some((file) => file.endsWith('.ldb')) && files.some((file) => file.endsWith('.log')),
  );
});
