// Export files: what was written is read back; anything cut, altered or made up is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeEvent } from '../../src/adapters/level/event-record.ts';
import { eventHash } from '../../src/history/event-hash.ts';
import { HistoryWriter } from '../../src/history/export-file.ts';
import { HistoryFileError, lineBytesMax } from '../../src/history/export-lines.ts';
import { readHistory } from '../../src/history/export-reader.ts';
import { foldHistory, PositionOutOfRange } from '../../src/history/fold.ts';
import type { FoldResult } from '../../src/history/fold.ts';
import { sampleHistory, startUs } from './recorded.ts';

const history = sampleHistory();
const lastSeq = history.events.length;

/** A file whose events begin at `firstSeq`; what is older is retained for streams that live on. */
function exported(firstSeq = 1): string {
  const writer = new HistoryWriter();
  const parts = [writer.header({ producer: '0.1.0', exportedAtUs: startUs, firstSeq, lastSeq })];
  if (firstSeq > 1) {
    const checkpoint = history.stateAt(firstSeq - 1);
    const live = new Set(checkpoint.snapshots.map((one) => `snapshot-${one.context.snapshotId}`));
    for (const event of history.events.slice(0, firstSeq - 1)) {
      if (live.has(event.stream)) parts.push(writer.retained(event));
    }
    parts.push(writer.checkpoint(checkpoint));
  }
  for (const event of history.events.slice(firstSeq - 1)) parts.push(writer.event(event));
  parts.push(writer.trailer(history.stateAt(lastSeq)));
  return parts.join('');
}

async function fold(content: string | Uint8Array, at: number | 'end' = 'end'): Promise<FoldResult> {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return foldHistory(readHistory([bytes]), { positions: [at] });
}

const refused = async (content: string | Uint8Array, message: RegExp): Promise<void> =>
  assert.rejects(fold(content), (error: unknown) => {
    assert.ok(error instanceof HistoryFileError, String(error));
    assert.match(error.message, message);
    return true;
  });

/** The file with one line changed and its trailer made to fit again. */
function forged(change: (lines: Record<string, unknown>[]) => unknown): string {
  const lines = exported()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  change(lines);
  return `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`;
}

test('a file folds to the state of the node at every position', async () => {
  for (const firstSeq of [1, 4, 6, 8, 11]) {
    for (let at = firstSeq - 1; at <= lastSeq; at += 1) {
      const { states } = await fold(exported(firstSeq), at);
      assert.deepEqual(states[0]?.checkpoint, history.stateAt(at), `from ${firstSeq} at ${at}`);
    }
  }
});

test('a whole file is found to fold to the state that the node had', async () => {
  assert.equal((await fold(exported())).isAsRecorded, true);
  assert.equal((await fold(exported(8))).isAsRecorded, true);
});

test('a file may arrive in pieces of any size', async () => {
  const bytes = Buffer.from(exported(8));
  for (const size of [1, 7, 1000]) {
    const pieces: Buffer[] = [];
    for (let from = 0; from < bytes.length; from += size) {
      pieces.push(bytes.subarray(from, from + size));
    }
    const result = await foldHistory(readHistory(pieces), { positions: ['end'] });
    assert.equal(result.states[0]?.checkpoint.globalSeq, lastSeq);
  }
});

test('a position outside of the file is out of range', async () => {
  await assert.rejects(fold(exported(4), 2), PositionOutOfRange);
  await assert.rejects(fold(exported(4), lastSeq + 1), PositionOutOfRange);
});

test('a file cut at any byte is refused', async () => {
  const bytes = Buffer.from(exported(6));
  for (let length = 0; length < bytes.length; length += 1) {
    await assert.rejects(fold(bytes.subarray(0, length)), HistoryFileError, `cut at ${length}`);
  }
});

test('a file cut after an event names it, and can be replayed up to it', async () => {
  const lines = exported().split('\n');
  const cut = `${lines.slice(0, 6).join('\n')}\n`;
  await refused(cut, /ends early, after event 5: --at 5 shows/);
  assert.deepEqual((await fold(cut, 5)).states[0]?.checkpoint, history.stateAt(5));
});

test('a file with any byte altered is refused', async () => {
  const bytes = Buffer.from(exported(8));
  const trailerFrom = bytes.lastIndexOf('\n', bytes.length - 2);
  for (let index = 0; index < trailerFrom; index += 1) {
    const altered = Buffer.from(bytes);
    altered[index] = (altered[index] as number) ^ 1;
    await assert.rejects(fold(altered), HistoryFileError, `byte ${index}`);
  }
});

test('a missing, doubled or exchanged event is refused by its position', async () => {
  await refused(
    forged((lines) => lines.splice(3, 1)),
    /event 4 follows 2: some are missing/,
  );
  await refused(
    forged((lines) => lines.splice(3, 0, lines[3]!)),
    /event 3 follows 3/,
  );
});

test('an altered event is found by its own hash, whatever the trailer says', async () => {
  const file = forged((lines) => {
    const event = lines[3]!['event'] as { timeUs: number };
    event.timeUs += 1;
  });
  await refused(file, /event 3 breaks the hash chain of snapshot-1/);
});

test('versions, kinds and shapes that are not known are refused', async () => {
  const withHeader = (fields: object): string =>
    forged((lines) => Object.assign(lines[0]!, fields));
  await refused(withHeader({ version: 2 }), /format version 2 is not known/);
  await refused(withHeader({ format: 'x' }), /not a history that varve export wrote/);
  await refused(withHeader({ firstSeq: 0 }), /field firstSeq is not valid/);
  const withEvent = (fields: object): string =>
    forged((lines) => Object.assign(lines[3]!['event'] as object, fields));
  await refused(withEvent({ schemaVersion: 9 }), /version 9, which is not known/);
  await refused(
    withEvent({ type: 'constructor' }),
    /type constructor version \d+, which is not known/,
  );
  await refused(withEvent({ stream: '../x' }), /field stream is not valid/);
  await refused(withEvent({ revision: 2 }), /revision 2 of snapshot-1, not 1/);
  await refused(withEvent({ data: { key: 1 } }), /event 3: the field \w+ is not valid/);
  await refused(
    forged((lines) => Object.assign(lines[2]!, { kind: 'spell' })),
    /of a kind that is not known/,
  );
});

test('an event that the machines forbid is refused', async () => {
  const illegal = sampleHistory().add('snapshot-1', {
    type: 'SnapshotCommitted',
    data: { operationId: 2, sizeBytes: 1, inodeCount: 1, block: null },
  });
  const writer = new HistoryWriter();
  const file =
    writer.header({ producer: 'x', exportedAtUs: 1, firstSeq: 1, lastSeq: lastSeq + 1 }) +
    illegal.events.map((event) => writer.event(event)).join('') +
    writer.trailer();
  await refused(file, /event 13 is not legal/);
});

test('text that is no JSON, no UTF-8, no line, or too long is refused', async () => {
  await refused('', /empty/);
  await refused('{"kind":"header"', /the file ends within this line/);
  await refused('[]\n', /not a JSON object/);
  await refused('nonsense\n', /not valid JSON/);
  await refused(Buffer.from([0x22, 0xff, 0x22, 0x0a]), /not valid JSON/);
  await refused(Buffer.alloc(lineBytesMax + 1, 0x20), /longer than/);
  await refused(`${exported()}{}\n`, /something follows the trailer/);
});

test('the hash of an event is the one that the log gives it', () => {
  for (const event of history.events) {
    const { hash, previousHash, ...recorded } = event;
    assert.equal(encodeEvent(recorded, previousHash).hash, hash);
    assert.equal(eventHash(recorded, previousHash), hash);
  }
});
