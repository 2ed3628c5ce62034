// Checkpoints are written while events are appended: neither may touch what the other wrote.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventNumbers, readAll } from './events.ts';
import { openSound, removeRoot, scratchRoot } from './opened-store.ts';

test('appends beside a large checkpoint are all there after closing and opening', async (t) => {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  const numbers = new EventNumbers();
  const streams = Array.from({ length: 3000 }, (_, index) => `snapshot-${index + 1}`);
  let { store } = (await openSound(root)).opened;
  for (let from = 0; from < streams.length; from += 500) {
    await store.append(numbers.batch(streams.slice(from, from + 500)));
  }
  for (let round = 0; round < 6; round += 1) {
    let isStored = false;
    const storing = store.writeCheckpoint(numbers.checkpoint(streams)).then(() => {
      isStored = true;
    });
    for (let count = 0; !isStored || count < 8; count += 1) {
      await store.append(numbers.batch(streams.slice(count % 2000, (count % 2000) + 60)));
    }
    await storing;
    await store.close();
    ({ store } = (await openSound(root)).opened);
    assert.equal((await readAll(store)).length, numbers.lastSeq);
  }
  await store.close();
});
