// A repair and a server never work on one root at the same time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lockRoot } from '../../src/adapters/native/root-lock.ts';
import { EventNumbers } from './events.ts';
import { openSound, removeRoot, repairRoot, scratchRoot } from './opened-store.ts';

test('a repair is refused while a server holds the root, and holds it while it works', async (t) => {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  const { store } = (await openSound(root)).opened;
  await store.append(new EventNumbers().batch(['snapshot-1']));
  await store.close();

  const held = lockRoot(root);
  assert.ok(held.ok);
  const refused = await repairRoot(root);
  assert.ok(refused.status === 'refused');
  assert.match(refused.reason, new RegExp(`another varve \\(process ${process.pid}\\) uses`));
  held.lock.release();

  const repairing = repairRoot(root);
  assert.ok(!lockRoot(root).ok, 'nobody else gets the root meanwhile');
  assert.equal((await repairing).status, 'sound');
  const afterwards = lockRoot(root);
  assert.ok(afterwards.ok);
  afterwards.lock.release();
});
