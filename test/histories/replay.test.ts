// Every history that a release recorded must be read, checked and folded by this version, to the
// very state that the node had when it was recorded. Histories are never recorded again.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { foldHistory } from '../../src/history/fold.ts';
import { readHistory, type HistoryEntry } from '../../src/history/export-reader.ts';
import { eventVersions } from '../../src/machines/event-types.ts';
import { shapesOf, type Checkpoint } from '../../src/machines/checkpoint.ts';

const directory = fileURLToPath(new URL('.', import.meta.url));
const histories = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ndjson'))
  .sort();

const entriesOf = (text: Buffer): AsyncIterable<HistoryEntry> => readHistory([text]);

async function typesIn(text: Buffer): Promise<ReadonlySet<string>> {
  const types = new Set<string>();
  await foldHistory(entriesOf(text), { positions: [], onEvent: ({ type }) => types.add(type) });
  return types;
}

test('there are histories of version 0.1', () => {
  assert.ok(histories.filter((name) => name.startsWith('v0.1/')).length >= 4, histories.join(' '));
});

for (const name of histories) {
  const text = readFileSync(`${directory}${name}`);

  test(`${name} folds to the state that the node had`, async () => {
    const statePath = `${directory}${name.replace(/ndjson$/, 'state.json')}`;
    const expected = JSON.parse(readFileSync(statePath, 'utf8')) as Checkpoint;
    const { states, isAsRecorded } = await foldHistory(entriesOf(text), { positions: ['end'] });
    // In the shape that the state had then.
    const shapes = shapesOf(states[0]?.checkpoint ?? assert.fail('there is an end'));
    const ofThen = shapes.find((shape) => shape.checkpointVersion === expected.checkpointVersion);
    assert.deepEqual(ofThen, expected);
    assert.equal(isAsRecorded, true, 'the state is the one whose hash the file holds');
  });

  test(`${name} folds to every position in it`, async () => {
    const { header } = await foldHistory(entriesOf(text), { positions: [] });
    const count = header.lastSeq - header.firstSeq + 2;
    const positions = Array.from({ length: count }, (_, index) => header.firstSeq - 1 + index);
    const { states } = await foldHistory(entriesOf(text), { positions });
    assert.deepEqual(
      states.map(({ checkpoint }) => checkpoint.globalSeq),
      positions,
    );
  });

  test(`${name} with any one event altered or left out is refused`, async () => {
    const lines = text.toString().split('\n');
    const events = lines.flatMap((line, index) => (line.includes('"kind":"event"') ? [index] : []));
    for (const index of events) {
      const altered = lines.with(index, (lines[index] ?? '').replace('"timeUs":17', '"timeUs":18'));
      const shortened = lines.filter((_, other) => other !== index);
      for (const damaged of [altered, shortened]) {
        const entries = entriesOf(Buffer.from(damaged.join('\n')));
        await assert.rejects(foldHistory(entries, { positions: ['end'] }), /line \d+|trailer|hash/);
      }
    }
  });
}

test('the recorded histories hold every event type', async () => {
  const found = new Set<string>();
  for (const name of histories) {
    for (const type of await typesIn(readFileSync(`${directory}${name}`))) found.add(type);
  }
  const missing = Object.keys(eventVersions).filter((type) => !found.has(type));
  assert.deepEqual(missing, []);
});
