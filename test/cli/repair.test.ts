// A damaged log as its operator meets it: the daemon stays up and says what to run, repair says
// what it saved, and the daemon serves again.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { snapshotsDefinition } from '../../src/server/grpc/definitions.ts';
import { Daemon, scratch, varve } from './varve.ts';

/** Flips one bit in the middle of the largest file that holds events. */
function damage(root: string): void {
  const files = readdirSync(path.join(root, 'log'))
    .filter((name) => /\.(?:log|ldb)$/.test(name))
    .map((name) => path.join(root, 'log', name))
    .sort((left, right) => statSync(right).size - statSync(left).size);
  const [file] = files;
  assert.ok(file);
  const bytes = readFileSync(file);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] as number) ^ 4;
  writeFileSync(file, bytes);
}

test('a damaged log leaves the daemon up, is explained, and is repaired', async (t) => {
  const place = scratch();
  t.after(() => place.remove());
  let daemon = await Daemon.start(place.path);
  t.after(() => daemon.stop('SIGKILL'));
  for (let index = 0; index < 20; index += 1) {
    const key = `box-${index}`;
    const { code } = await daemon.snapshots.call(snapshotsDefinition.prepare, { key });
    assert.equal(code, 0);
  }
  const whole = await varve(['repair', '--root', path.join(place.path, 'root')]);
  assert.equal(whole.code, 1, 'the daemon runs');
  // Killed, so that no checkpoint covers the part that is damaged.
  await daemon.stop('SIGKILL');
  damage(daemon.root);

  daemon = await Daemon.start(place.path);
  const status = await varve(['status', '--address', daemon.address]);
  assert.equal(status.code, 6);
  assert.match(status.stderr, /^varve: [^\n]*run varve repair[^\n]*\n$/);
  assert.match(status.stdout, /^health +damaged$/m);
  const document = await varve(['status', '--address', daemon.address, '--json']);
  assert.ok((JSON.parse(document.stdout) as { damage: unknown[] }).damage.length > 0);
  await daemon.stop();

  const repaired = await varve(['repair', '--root', daemon.root, '--json']);
  assert.equal(repaired.code, 0, repaired.stderr);
  const result = JSON.parse(repaired.stdout) as { status: string; notes: string[] };
  assert.equal(result.status, 'repaired');
  const again = await varve(['repair', '--root', daemon.root]);
  assert.match(again.stdout, /nothing to repair/);

  daemon = await Daemon.start(place.path);
  const healthy = await varve(['status', '--address', daemon.address]);
  assert.equal(healthy.code, 0, healthy.stderr);
  const verified = await varve(['verify', '--address', daemon.address]);
  assert.equal(verified.code, 0, verified.stderr);
});
