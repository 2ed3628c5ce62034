// Applies one mutation to a copy of the fixture and checks everything that must hold: what is
// served is what was appended, what is not served is named, nothing is lost quietly, nothing is
// lost that the mutation did not hit, and repair keeps the rest.
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LogDamaged, type EventStore, type SeqRange } from '../../src/engine/ports.ts';
import { foldLog } from '../../src/engine/boot.ts';
import { GapFold } from '../../src/machines/gap-fold.ts';
import { placesIn, type Place } from './event-places.ts';
import type { Case, Fixture, Mutation } from './fixture.ts';
import { openSound, repairRoot, scratchRoot, tryOpen } from './opened-store.ts';

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

function isHit(place: Place, mutation: Mutation): boolean {
  if (mutation.kind === 'delete') return true;
  return mutation.kind === 'truncate'
    ? place.toByte > mutation.lengthBytes
    : place.fromByte <= mutation.offset && mutation.offset < place.toByte;
}

/** What a mutation can have taken away, from where the undamaged files hold it. */
interface Hit {
  /** Events that no other place holds. */
  readonly eventSeqs: ReadonlySet<number>;
  /** These, and those whose index entry or batch record it hit. */
  readonly touchedSeqs: ReadonlySet<number>;
}

function hitBy(pristine: string, { mutation }: Case): Hit {
  const eventSeqs = new Set<number>();
  const touchedSeqs = new Set<number>();
  const heldElsewhere = new Set<number>();
  const folder = join(pristine, 'log');
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const places = placesIn(path);
    const isOwn = path === join(pristine, mutation.file);
    // What leads to a table's blocks leads to all of them.
    const isTableHit =
      isOwn && path.endsWith('.ldb') && !places.some((one) => isHit(one, mutation));
    for (const place of places) {
      if (isTableHit) for (const seq of place.eventSeqs) touchedSeqs.add(seq);
      if (isOwn && isHit(place, mutation)) {
        for (const seq of place.eventSeqs) eventSeqs.add(seq);
        for (const seq of [...place.eventSeqs, ...place.referredSeqs]) touchedSeqs.add(seq);
      } else {
        for (const seq of place.eventSeqs) heldElsewhere.add(seq);
      }
    }
  }
  for (const seq of heldElsewhere) eventSeqs.delete(seq);
  return { eventSeqs, touchedSeqs };
}

const isWithin = (seq: number, ranges: readonly SeqRange[]): boolean =>
  ranges.some(({ fromSeq, toSeq }) => fromSeq <= seq && seq <= toSeq);

/**
 * Reads on over all damage; every event served must be the one appended. Returns what was not
 * served.
 */
async function unserved(
  store: EventStore,
  fixture: Fixture,
  stream?: string,
): Promise<Set<number>> {
  const wanted = fixture.events.filter(
    (event) =>
      (stream === undefined || event.stream === stream) && event.globalSeq <= fixture.lastSeq,
  );
  // What was compacted away may come back with a horizon that is lost: it is still what it was.
  const appended = new Map(
    fixture.compacted.concat(wanted).map((event) => [event.globalSeq, event]),
  );
  const missing = new Set(wanted.map(({ globalSeq }) => globalSeq));
  const toSeq = fixture.lastSeq;
  let fromSeq = stream === undefined ? store.firstSeq : 1;
  const only = stream === undefined ? {} : { stream };
  for (;;) {
    try {
      for await (const part of store.read({ fromSeq, toSeq, ...only })) {
        for (const event of part) {
          assert.deepEqual(event, appended.get(event.globalSeq));
          assert.ok(event.globalSeq >= fromSeq, 'an event was served twice');
          missing.delete(event.globalSeq);
          fromSeq = event.globalSeq + 1;
        }
      }
      break;
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error;
      const { damage } = error;
      if (stream === undefined) {
        assert.equal(damage.fromSeq, fromSeq, 'the damage does not begin where reading stopped');
      } else if (damage.isLost !== true) {
        // A stream is refused as a whole.
        break;
      }
      fromSeq = damage.toSeq + 1;
    }
  }
  if (stream === undefined) {
    for (const seq of missing) if (seq < store.firstSeq) missing.delete(seq);
  }
  return missing;
}

/** Every stream is read as it was appended, or refused as damaged. */
async function checkStreams(
  store: EventStore,
  fixture: Fixture,
  hit: { readonly touchedSeqs: ReadonlySet<number>; readonly missing: ReadonlySet<number> },
): Promise<void> {
  for (const stream of fixture.streams) {
    const missing = await unserved(store, fixture, stream);
    if (missing.size > 0) {
      const isAnyHit = hit.touchedSeqs.size > 0 || hit.missing.size > 0;
      assert.ok(isAnyHit, `${stream} is refused though nothing of it was hit`);
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
    assert.deepEqual([...(await unserved(store, fixture))], []);
    return 0;
  } finally {
    await store.close();
  }
}

/** The state of each snapshot none of whose events is lost must be what all events fold to. */
async function checkState(
  store: EventStore,
  fixture: Fixture,
  lost: readonly SeqRange[],
): Promise<void> {
  const isLost = ({ globalSeq }: { readonly globalSeq: number }): boolean =>
    isWithin(globalSeq, lost);
  const hitStreams = new Set(fixture.events.filter(isLost).map(({ stream }) => stream));
  const fold = new GapFold(undefined);
  for (const event of fixture.events) fold.apply(event);
  const expected = fold.toCheckpoint(fixture.lastSeq);
  const found = (await foldLog(store)).toCheckpoint();
  for (const state of expected.snapshots) {
    const { snapshotId } = state.context;
    if (hitStreams.has(`snapshot-${snapshotId}`)) continue;
    const same = found.snapshots.find(({ context }) => context.snapshotId === snapshotId);
    assert.deepEqual(same, state);
  }
  assert.ok(found.node.idsReservedUpTo >= expected.node.idsReservedUpTo, 'ids can be used again');
}

async function checkRepair(root: string, fixture: Fixture, hit: Hit): Promise<number> {
  const repaired = await repairRoot(root);
  if (repaired.status === 'sound') return await checkMended(root, fixture);
  assert.ok(repaired.status === 'repaired', JSON.stringify(repaired));
  const { store } = (await openSound(root)).opened;
  try {
    const { lost } = repaired;
    assert.equal(repaired.lastSeq, fixture.lastSeq + 1, 'the log goes on behind its old end');
    assert.equal(store.lastSeq, repaired.lastSeq);
    assert.equal(store.firstSeq, repaired.firstSeq);
    const isHorizonLost = repaired.firstSeq !== fixture.horizonSeq + 1;
    assert.ok(!isHorizonLost || hit.touchedSeqs.size > 0, 'the horizon is another');
    const missing = await unserved(store, fixture);
    for (const stream of fixture.streams) {
      for (const seq of await unserved(store, fixture, stream)) missing.add(seq);
    }
    for (const seq of missing) {
      assert.ok(hit.eventSeqs.has(seq), `event ${seq} is gone though the mutation did not hit it`);
      assert.ok(isWithin(seq, lost), `event ${seq} is gone and not named as lost`);
    }
    await checkState(store, fixture, lost);
    for await (const damage of store.scrub(new AbortController().signal)) {
      assert.fail(`the repaired log is damaged: ${JSON.stringify(damage)}`);
    }
    return missing.size;
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
export async function checkCase(fixture: Fixture, one: Case, root: string): Promise<Outcome> {
  const hit = hitBy(join(fixture.path, one.ending), one);
  const result = await tryOpen(root);
  assert.notEqual(result.status, 'refused', JSON.stringify(result));
  if (result.status !== 'open') {
    assert.ok(result.status === 'damaged' && result.damage.length > 0);
    const unservedCount = fixture.events.length;
    return { unservedCount, wasDamaged: true, lostCount: await checkRepair(root, fixture, hit) };
  }
  const { store, damage } = result.opened;
  let missing: Set<number>;
  try {
    assert.ok(store.lastSeq >= fixture.lastSeq, 'the end was lost without a word');
    missing = await unserved(store, fixture);
    await checkStreams(store, fixture, { ...hit, missing });
    for (const seq of [...missing].filter((each) => each > fixture.checkpointSeqs[1])) {
      assert.ok(isWithin(seq, damage), `event ${seq} is lost and opening did not name it`);
    }
  } finally {
    await store.close();
  }
  const wasDamaged = damage.length > 0;
  if (!wasDamaged && missing.size === 0) {
    await (await openSound(root)).opened.store.close();
    return { unservedCount: 0, wasDamaged, lostCount: 0 };
  }
  const lostCount = await checkRepair(root, fixture, hit);
  return { unservedCount: missing.size, wasDamaged, lostCount };
}
