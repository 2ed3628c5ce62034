// Applies one mutation to a copy of the fixture and checks everything that must hold: what is
// served is what was appended, what is not served is named, nothing is lost quietly, and repair
// brings back all that the bytes still hold.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LogDamaged, type EventStore } from '../../src/engine/ports.ts';
import { repairLog } from '../../src/adapters/level/repair.ts';
import { countingClock, quietLogger, readAll } from './events.ts';
import type { Case, Fixture } from './fixture.ts';
import { openSound, scratchRoot, tryOpen } from './opened-store.ts';

export interface Outcome {
  /** Positions that the opened store did not serve. */
  readonly unservedCount: number;
  readonly wasDamaged: boolean;
  /** Positions that repair could not bring back. */
  readonly lostCount: number;
}

function mutate(root: string, { mutation }: Case): void {
  const path = join(root, mutation.file);
  if (mutation.kind === 'truncate') {
    truncateSync(path, mutation.lengthBytes);
  } else if (mutation.kind === 'delete') {
    rmSync(path);
  } else {
    const content = readFileSync(path);
    content[mutation.offset] = (content[mutation.offset] ?? 0) ^ (1 << mutation.bit);
    writeFileSync(path, content);
  }
}

/**
 * Reads on over all damage; every event served must be the one appended. Returns what was not
 * served.
 */
async function unserved(store: EventStore, fixture: Fixture): Promise<Set<number>> {
  const missing = new Set<number>();
  const lastSeq = Math.max(store.lastSeq, fixture.events.length);
  for (let fromSeq = store.firstSeq; fromSeq <= lastSeq;) {
    try {
      for await (const part of store.read({ fromSeq })) {
        for (const event of part) {
          assert.equal(event.globalSeq, fromSeq, 'an event was left out without a word');
          assert.deepEqual(event, fixture.events[fromSeq - 1]);
          fromSeq += 1;
        }
      }
      break;
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error;
      assert.equal(
        error.damage.fromSeq,
        fromSeq,
        'the damage does not begin where reading stopped',
      );
      for (; fromSeq <= error.damage.toSeq; fromSeq += 1) {
        missing.add(fromSeq);
      }
    }
  }
  return missing;
}

/** Every stream is read as it was appended, or refused as damaged. */
async function checkStreams(
  store: EventStore,
  fixture: Fixture,
  missing: ReadonlySet<number>,
): Promise<void> {
  for (const stream of fixture.streams) {
    const appended = fixture.events.filter((event) => event.stream === stream);
    try {
      assert.deepEqual(await readAll(store, { stream }), appended);
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error;
      assert.ok(missing.size > 0, `${stream} is refused though every event is served`);
    }
  }
}

/**
 * A lookup can miss what a merge, which reads a table from end to end, still finds: the opening
 * that named the damage has mended it then, and everything must be there.
 */
async function checkMended(root: string, fixture: Fixture): Promise<number> {
  const { store } = (await openSound(root)).opened;
  try {
    assert.deepEqual(await readAll(store), fixture.events);
    return 0;
  } finally {
    await store.close();
  }
}

async function checkRepair(root: string, fixture: Fixture): Promise<number> {
  const repaired = await repairLog({ root, logger: quietLogger, clock: countingClock });
  if (repaired.status === 'sound') return await checkMended(root, fixture);
  assert.ok(repaired.status === 'repaired', JSON.stringify(repaired));
  const { store } = (await openSound(root)).opened;
  try {
    const { savedThroughSeq, lost, firstSeq } = repaired;
    assert.equal(store.lastSeq, savedThroughSeq + 1);
    assert.equal(store.firstSeq, firstSeq);
    const events = await readAll(store);
    const last = events.at(-1);
    assert.equal(last?.type, 'LogRepaired');
    assert.equal(events[0]?.globalSeq, firstSeq);
    assert.deepEqual(events.slice(0, -1), fixture.events.slice(firstSeq - 1, savedThroughSeq));
    for (const stream of fixture.streams) {
      const expected = fixture.events.filter(
        (event) => event.stream === stream && event.globalSeq <= savedThroughSeq,
      );
      const found = (await readAll(store, { stream })).filter(
        ({ globalSeq }) => globalSeq <= savedThroughSeq,
      );
      // Whole, or from the beginning of the log.
      const tail = expected.filter(({ globalSeq }) => globalSeq >= firstSeq);
      assert.deepEqual(found, found.length === tail.length ? tail : expected);
    }
    if (savedThroughSeq >= fixture.checkpointSeqs[1]) {
      const checkpoint = await store.readCheckpoint();
      assert.ok(checkpoint !== undefined || firstSeq === 1, 'the state to begin from is missing');
    }
    for await (const damage of store.scrub(new AbortController().signal)) {
      assert.fail(`the repaired log is damaged: ${JSON.stringify(damage)}`);
    }
    return lost.reduce((sum, range) => sum + range.toSeq - range.fromSeq + 1, 0);
  } finally {
    await store.close();
  }
}

/** Makes the root of one case; the caller removes it. */
export function prepareCase(fixture: Fixture, one: Case): string {
  const scratch = scratchRoot();
  const root = join(scratch, 'root');
  cpSync(join(fixture.path, one.ending), root, { recursive: true });
  mutate(root, one);
  return scratch;
}

/** Opens the log as a server would and checks all that must hold. */
export async function checkCase(fixture: Fixture, root: string): Promise<Outcome> {
  const result = await tryOpen(root);
  assert.notEqual(result.status, 'refused', JSON.stringify(result));
  if (result.status !== 'open') {
    assert.ok(result.status === 'damaged' && result.damage.length > 0);
    const unservedCount = fixture.events.length;
    return { unservedCount, wasDamaged: true, lostCount: await checkRepair(root, fixture) };
  }
  const { store, damage } = result.opened;
  let missing: Set<number>;
  try {
    assert.ok(store.lastSeq >= fixture.events.length, 'the end was lost without a word');
    missing = await unserved(store, fixture);
    await checkStreams(store, fixture, missing);
    for (const seq of [...missing].filter((each) => each > fixture.checkpointSeqs[1])) {
      const isNamed = damage.some(({ fromSeq, toSeq }) => fromSeq <= seq && seq <= toSeq);
      assert.ok(isNamed, `event ${seq} is lost and opening did not name it`);
    }
  } finally {
    await store.close();
  }
  const wasDamaged = damage.length > 0;
  if (!wasDamaged && missing.size === 0) {
    await (await openSound(root)).opened.store.close();
    return { unservedCount: 0, wasDamaged, lostCount: 0 };
  }
  return { unservedCount: missing.size, wasDamaged, lostCount: await checkRepair(root, fixture) };
}
