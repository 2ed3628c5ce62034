// Whatever moment a writer is killed at, every append that it was told of is there afterwards.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readAll } from './events.ts';
import { openSound, removeRoot, scratchRoot } from './opened-store.ts';

const program = fileURLToPath(new URL('killed-writer.ts', import.meta.url));

/** Kills a writer after so many acknowledged appends; answers the last position of them. */
async function killedAfter(root: string, appendCount: number): Promise<number> {
  const writer = spawn(process.execPath, [program, root], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(writer, 'close');
  let acknowledgedSeq = 0;
  let count = 0;
  try {
    for await (const line of createInterface({ input: writer.stdout })) {
      acknowledgedSeq = Number(line);
      count += 1;
      if (count === appendCount) writer.kill('SIGKILL');
    }
  } finally {
    writer.kill('SIGKILL');
    await closed;
  }
  assert.ok(count >= appendCount, `the writer ended by itself after ${count} appends`);
  return acknowledgedSeq;
}

// The log is extended and replaced several times within so many appends.
for (const appendCount of [1, 25, 60, 110, 180, 260]) {
  test(`a writer killed after ${appendCount} appends has lost none of them`, async (t) => {
    const root = scratchRoot();
    t.after(() => removeRoot(root));
    const acknowledgedSeq = await killedAfter(root, appendCount);
    for (let opening = 0; opening < 2; opening += 1) {
      const { store } = (await openSound(root)).opened;
      assert.ok(store.lastSeq >= acknowledgedSeq, `${store.lastSeq} of ${acknowledgedSeq}`);
      const events = await readAll(store, { fromSeq: store.firstSeq });
      assert.equal(events.length, store.lastSeq - store.firstSeq + 1);
      await store.close();
    }
  });
}
